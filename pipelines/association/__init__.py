"""Jobs of the association model.

pairs      a store's clips as pairs, with pseudo-identities
train      vclip train
evaluate   vclip evaluate, vclip compare
benchmark  vclip benchmark-association: all methods on the same folds
protocol   vclip benchmark-association --protocol: all methods on a published protocol
curve      vclip benchmark-association --curve: what more people would bring
"""
