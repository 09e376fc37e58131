"""The pieces' primary key begins with the analysis: another index on it only costs."""


def up(migrator, db):
    migrator.migrate(migrator.drop_index("piece", "piece_analysis_id"))
