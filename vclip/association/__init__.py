"""Face-voice association: which voices suit which faces.

pairs          clips with their vectors and identities
hashes         of names and rounded vectors, by which a model knows its training people
clustering/    pseudo-identities for clips without an identity
leaks          identities, clips and vectors that two sides share
base           the protocol of a model, and the base of the models here
model          the association model: MLP, flow, linear paths
linear         closed-form linear maps: baselines, and the ground of `likelihood`
likelihood     the likelihood ratio of Gaussian faces and voices, from which training starts
two_clusters   the genders, as a rule, without labels
losses         the contrastive loss, and others by name
training       from pairs to a model, with early stopping and calibration
loop           batches, the optimisation of every method, resuming
grad_cache     large batches in bounded memory
distributed    several processes train one model
randomness     seeds that leave the caller's generators alone
calibration    from cosines to probabilities
methods/       the methods by name, and the published ones
scores         cosines of a model, and their normalisation
metrics/       verification, matching, retrieval, intervals over people
evaluation     the figures of a model on unseen people
comparison     the difference of two models
learning_curve the figures by the number of training people, and what more would bring
trials/        published trial lists
protocols/     published protocols: training sets, trial lists, published figures
"""
