"""Read a document for what it says by itself: sentences, terms, headings, dates and duties, word for word.

marks, languages, lines, sentences      what is seen of a text, its language, where lines and sentences end
document                                from paragraphs to counted sentences
ranking, terms, findings, cues          what stands out: key sentences and terms, dates and names, duties
questions, readability                  what a question asks for, and how hard a text is to read
quoting, recipes                        what is written of it, in Markdown

Nothing here knows a model or a network. All work is linear in the length of the text: no repetition in
a pattern is without an upper bound beside another that may match the same characters. What returns
`Work` is a generator: each item is the amount of work just done, about one per character, so that its
caller can pause wherever it likes; its result is its return value.
"""
