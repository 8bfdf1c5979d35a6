/* Which hyperparameters a search tries: values of the keys that the job gives a list or a range (struct job_ranges), or
 * leaves open. Pure functions of what the job says and of chance that is handed in.
 *
 * Values that are the job's own are NAN, as everywhere in recipes. Hyperparameters that a job can't give a range are
 * left alone. */
#ifndef NASRUN_SEARCH_HYPERPARAMETERS_H
#define NASRUN_SEARCH_HYPERPARAMETERS_H

#include "host/base/random.h"
#include "host/search/recipe.h"

#include <stddef.h>

/* Sets in one round of trials, at most, and rounds. */
enum { HYPERPARAMETERS_MOST = 8, HYPERPARAMETERS_ROUNDS = 3 };

/* What the job says of them. */
struct hyperparameter_space {
    struct hyperparameters usual; /* the job's values, with which a search begins; batch 0: chosen by rule */
    struct job_ranges ranges;
};
struct hyperparameter_space hyperparameter_space_of(const struct job *job);

/* Whether the job has a list or a range for any. */
bool hyperparameters_are_given(const struct hyperparameter_space *space);

/* Whether a training with the one is as one with the other. */
bool hyperparameters_equal(const struct hyperparameter_space *space, const struct hyperparameters *a,
                           const struct hyperparameters *b);

/* How far they are from the job's: doublings of what has a logarithmic scale, quarters of a linear range, list items
 * each one. */
double hyperparameters_distance(const struct hyperparameter_space *space, const struct hyperparameters *set);

/* The sets of a round of trials about a centre: one key changed in each. Round 0 goes a quarter of the range up and
 * down, each later one half as far as the one before; lists are gone through in round 0. With `open` round 0 has those
 * that the job leaves open, too: half and twice the learning rate. How many there are, HYPERPARAMETERS_MOST at most.
 * The centre itself, and what lies outside of a range, is not among them. */
int32_t hyperparameters_round(const struct hyperparameter_space *space, const struct hyperparameters *centre,
                              int32_t round, bool open, struct hyperparameters sets[HYPERPARAMETERS_MOST]);

/* One thing that is not as it was; what, in words. */
struct hyperparameter_change {
    struct hyperparameters set;
    const char *text;
};

/* What a short look is prejudiced against, for it always likes a lower rate and less decay, whatever the end would say:
 * the set with a higher learning rate, and with more weight decay; twice as much where the job leaves the key open, in
 * a range as far as that goes, of a list the next higher. How many of them there are: none where the job has a value,
 * or where there is nothing higher. */
enum { HYPERPARAMETERS_RAISED_MOST = 2 };
int32_t hyperparameters_raised(const struct hyperparameter_space *space, const struct hyperparameters *set,
                               struct hyperparameter_change changes[HYPERPARAMETERS_RAISED_MOST]);

/* For a child: its parent's, of which those with a list or a range are changed by chance, each every other time: by a
 * normal number of a quarter of the range, within it, or to another item. */
struct hyperparameters hyperparameters_vary(const struct hyperparameter_space *space,
                                            const struct hyperparameters *parent,
                                            struct random_sequence *random);

/* By chance alone: each that has a list or a range evenly of that, on its scale, and a learning rate that is left open
 * from a quarter of it to its fourfold. */
struct hyperparameters hyperparameters_draw(const struct hyperparameter_space *space,
                                            struct random_sequence *random);

/* "learning rate 0.1, weight decay 0.01" for those that are not the job's; empty when all are. */
void hyperparameters_describe(const struct hyperparameter_space *space, const struct hyperparameters *set,
                              char *text, size_t size);

#endif
