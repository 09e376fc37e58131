"""Every figure, one command after the other, and the goals they are held to.

make bench                the whole, about forty minutes
python -m bench           the same, without installing the peers
"""

import subprocess
import sys

from bench import report, results


def main():
    print(results.machine())
    for command in results.COMMANDS:
        print(f"\n{command}", flush=True)
        subprocess.run([sys.executable, "-m", *command.split(), "--keep"], check=True)
    print()
    report.main()


if __name__ == "__main__":
    main()
