/* A policy that says things token by token, and learns from what came of them: an LSTM of two layers of 35 cells, as in
 * Zoph, Le 2016, "Neural architecture search with reinforcement learning", trained by REINFORCE (Williams 1992).
 *
 * What it says are slots in turn, each with choices of its own; which of these are allowed is up to who asks. Its input
 * is the token before, as one of all tokens. Each slot has an output layer, and a softmax over what is allowed.
 *
 *     token before --> 35 cells --> 35 cells --> output of the slot --> softmax --> token
 *
 * All in double precision and in one order, so that the same calls give the same bits. */
#ifndef NASRUN_SEARCH_POLICY_H
#define NASRUN_SEARCH_POLICY_H

#include "host/base/error.h"
#include "host/base/random.h"

#include <stdint.h>

enum { POLICY_LAYERS = 2, POLICY_CELLS = 35, POLICY_SLOTS = 3, POLICY_CHOICES = 16, POLICY_MOST = 24 };

/* Choices of each slot, POLICY_CHOICES at most. */
struct policy_shape {
    int32_t choices[POLICY_SLOTS];
};

/* One token of what is said: the i-th is of slot i % POLICY_SLOTS. Bit k of `allowed`: choice k may be taken. */
struct policy_token {
    uint32_t allowed;
    int32_t choice;
};

struct policy_said {
    int32_t count; /* POLICY_MOST at most */
    struct policy_token tokens[POLICY_MOST];
};

struct policy;

/* All weights drawn evenly from -0.08 to 0.08. */
enum status policy_new(const struct policy_shape *shape, uint64_t seed, struct policy **policy,
                       struct error *err);
void policy_free(struct policy *policy); /* NULL is allowed */

/* Where it stands while it says something: what its cells hold. Zeroed at the beginning. */
struct policy_place {
    double h[POLICY_LAYERS][POLICY_CELLS], c[POLICY_LAYERS][POLICY_CELLS];
};

/* The probabilities of the next token, behind all that is in `said`; of its choices those in `allowed`, one at least,
 * have some. Asked for each token once, in their order. */
void policy_next(const struct policy *policy, const struct policy_said *said, uint32_t allowed,
                 struct policy_place *place, double probabilities[POLICY_CHOICES]);

/* Adds to the gradient, of policy_parameters() numbers, that of
 *
 *     advantage * log p(what was said) + entropy * (the sum of the entropies of its tokens)
 *
 * which is returned. The policy itself stays as it is, but for memory of its own. */
double policy_gradient(struct policy *policy, const struct policy_said *said, double advantage,
                       double entropy, double *gradient);

/* Up the gradient, by Adam (Kingma, Ba 2015), as in the paper. */
void policy_climb(struct policy *policy, const double *gradient, double rate);

int32_t policy_parameters(const struct policy *policy);
double *policy_values(struct policy *policy); /* [policy_parameters()] */

double policy_entropy(const double probabilities[POLICY_CHOICES]);

#endif
