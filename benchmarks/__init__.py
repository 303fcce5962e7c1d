"""What Explorer costs, beside the plain thing and beside the peers: one command, one run, tables of ratios.

    python -m benchmarks                     everything: on two idle cores about half an hour
    python -m benchmarks --quick             fewer rounds, nothing at 4,096 tokens, no peer beyond 64: about six
    python -m benchmarks --only peers        or memory, patterns, pictures, attention, loading, ...

Seconds differ from machine to machine and from hour to hour; what is compared is therefore timed in turns on the
same fresh inputs, and each ratio is taken inside a round. A cell such as `0.89 (0.86-0.93)` is the median of those
ratios and their quartiles. Nothing here fails because something was slow.

Needs the packages of `pip install -e ".[test]"` and the sample model. TransformerLens, nnsight, CircuitsVis, Inspectus
and attnview get environments of their own in Explorer's cache folder, made with pip the first time (some minutes and
7 GB, not counted above); one that cannot be made is named in the table with the reason. Peers that want more time or
memory than there is are ended, which their row says. Pictures are painted by the machine's Chrome or Chromium
(EXPLORER_CHROME names another); BertViz's scripts, which it takes from the web, are fetched with npm. Without a
browser or npm the other figures are printed all the same.
"""
