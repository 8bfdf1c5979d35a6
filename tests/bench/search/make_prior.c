/* Makes a prior of changes (host/search/gain_prior.h) of run folders with branches: what their siblings gained over the
 * controls, corrected to a deadline four times as far off as they stood, by the law that the search goes by.
 *
 *     make_prior runs/a runs/b > samples/search.prior
 *
 * Siblings with other hyperparameters are left out. It is the posterior of one regression over all of them, with the
 * weak prior before it. A run differs from others by more than chance, so that to each deviation a quarter of the weak
 * one is added. */
#include "host/base/file.h"
#include "host/base/matrix.h"
#include "host/journal/event_read.h"
#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/search/gain_model.h"
#include "host/search/ladder_predict.h"
#include "spec/spec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 };
static const double DEADLINE = 4.0, BETWEEN_RUNS = 0.25;

/* A candidate of a run. */
struct seen {
    struct graph graph; /* count 0: there is none */
    struct hyperparameters set;
    int32_t state_of, compared_with;
    double steps, loss, gain, deviation; /* NAN: no result */
};

struct folder {
    struct job job;
    struct hyperparameter_space space;
    int32_t train, validation;
    struct seen seen[MOST];
};

/* X^T X and X^T y over the noise, with the prior's precision. */
struct sums {
    double matrix[CHANGE_COUNT * CHANGE_COUNT], vector[CHANGE_COUNT];
    int32_t count, runs;
};

static struct seen *seen_of(struct folder *folder, int32_t id)
{
    return id >= 0 && id < MOST ? &folder->seen[id] : NULL;
}

static enum status note(struct folder *folder, const struct event *event, struct error *err)
{
    struct seen *seen = seen_of(folder, event_candidate(event));
    if (event->kind == EVENT_RUN) {
        folder->train = event->run.dataset.train;
        folder->validation = event->run.dataset.validation;
    }
    if (seen == NULL)
        return ST_OK;
    if (event->kind == EVENT_CANDIDATE && seen->graph.count == 0) {
        *seen = (struct seen){.state_of = event->candidate.state_of,
                              .compared_with = event->candidate.compared_with,
                              .loss = NAN,
                              .gain = NAN};
#define READ(name) seen->set.name = event->candidate.name;
        RECIPE_HYPERPARAMETERS(READ)
#undef READ
        return graph_from_json(&seen->graph, event->candidate.graph, err);
    }
    if (event->kind == EVENT_MODEL) {
        seen->steps = event->model.steps;
        seen->loss = event->model.validation_loss;
        seen->gain = event->model.gain;
        seen->deviation = event->model.gain_deviation;
    }
    return ST_OK;
}

static enum status read_folder(const char *path, struct folder *folder, struct error *err)
{
    struct journal_lines lines;
    const struct event *event;
    char name[4096];
    snprintf(name, sizeof(name), "%s/job.cfg", path);
    enum status st = spec_read(name, NULL, 0, &folder->job, err);
    if (st != ST_OK)
        return st;
    folder->space = hyperparameter_space_of(&folder->job);
    snprintf(name, sizeof(name), "%s/" JOURNAL_NAME, path);
    st = journal_load(name, &lines, err);
    if (st != ST_OK)
        return st;
    struct event_reader reader = event_reader_open(name, &lines);
    while ((st = event_next(&reader, &event, err)) == ST_OK && event != NULL)
        if ((st = note(folder, event, err)) != ST_OK)
            break;
    event_reader_close(&reader);
    journal_lines_free(&lines);
    return st;
}

/* Epochs that lie behind it, its own among them. */
static double epochs_of(struct folder *folder, const struct seen *seen)
{
    const double batch = folder->job.train.batch > 0 ? folder->job.train.batch : 128.0;
    double steps = 0.0;
    for (; seen != NULL; seen = seen_of(folder, seen->state_of))
        steps += seen->steps;
    return fmax(steps * batch / folder->train, 1e-3);
}

/* By how much more the logarithm of its error lies below the control's at the deadline; siblings take the same time. */
static enum status grow(struct folder *folder, const struct seen *control, const struct seen *seen,
                        double *growth, struct error *err)
{
    const double ratio = cost_of_graph(&seen->graph).train_flops / cost_of_graph(&control->graph).train_flops;
    const double now = epochs_of(folder, control);
    const struct ladder_run wanted[4] = {
        {.size = 1.0, .epochs = now},
        {.size = ratio, .epochs = now / ratio},
        {.size = 1.0, .epochs = DEADLINE * now},
        {.size = ratio, .epochs = DEADLINE * now / ratio},
    };
    const struct ladder_seen nothing = {.balance = ladder_balance(folder->train),
                                        .validation_images = folder->validation};
    struct ladder_guess guesses[4];
    enum status st = ladder_predict(&nothing, wanted, 4, guesses, err);
    if (st == ST_OK)
        *growth = (guesses[2].mean - guesses[3].mean) - (guesses[0].mean - guesses[1].mean);
    return st;
}

static enum status add(struct folder *folder, const struct seen *control, const struct seen *seen,
                       struct sums *sums, struct error *err)
{
    const struct changed from = {&control->graph, &control->set}, to = {&seen->graph, &seen->set};
    const struct change change = change_between(&folder->space, &from, &to);
    double growth;
    for (int i = CHANGE_learning_rate; i < CHANGE_COUNT; i++)
        if (change.of[i] != 0.0) /* short trainings like lower rates, whatever the end would say */
            return ST_OK;
    enum status st = grow(folder, control, seen, &growth, err);
    if (st != ST_OK)
        return st;
    const double deviation = seen->deviation / control->loss;
    const double noise = deviation * deviation + GAIN_MODEL_SEED * GAIN_MODEL_SEED;
    for (int i = 0; i < CHANGE_COUNT; i++) {
        sums->vector[i] += change.of[i] * (seen->gain / control->loss + growth) / noise;
        for (int j = 0; j < CHANGE_COUNT; j++)
            sums->matrix[j * CHANGE_COUNT + i] += change.of[i] * change.of[j] / noise;
    }
    sums->count++;
    return ST_OK;
}

static enum status add_folder(const char *path, struct sums *sums, struct error *err)
{
    struct folder *folder = calloc(1, sizeof(*folder));
    if (folder == NULL)
        return error_memory(err, "run", sizeof(*folder));
    enum status st = read_folder(path, folder, err);
    for (int32_t id = 0; st == ST_OK && id < MOST; id++) {
        const struct seen *seen = &folder->seen[id];
        const struct seen *control = seen->graph.count > 0 ? seen_of(folder, seen->compared_with) : NULL;
        if (control != NULL && !isnan(seen->gain) && control->loss > 0.0)
            st = add(folder, control, seen, sums, err);
    }
    for (int32_t id = 0; id < MOST; id++)
        graph_free(&folder->seen[id].graph);
    spec_free(&folder->job);
    free(folder);
    sums->runs++;
    return st;
}

/* The posterior's means, and its variances: the diagonal of the inverse. */
static enum status solve(struct sums *sums, struct gain_prior *prior, struct error *err)
{
    const struct gain_prior weak = gain_prior_weak();
    for (int i = 0; i < CHANGE_COUNT; i++)
        sums->matrix[i * CHANGE_COUNT + i] += 1.0 / (weak.deviation[i] * weak.deviation[i]);
    if (!matrix_cholesky(sums->matrix, CHANGE_COUNT))
        return error_set(err, ST_RANGE, "the regression of %d gains has no solution", (int)sums->count);
    memcpy(prior->mean, sums->vector, sizeof(prior->mean));
    matrix_solve_lower(sums->matrix, CHANGE_COUNT, prior->mean);
    matrix_solve_lower_transposed(sums->matrix, CHANGE_COUNT, prior->mean);
    for (int i = 0; i < CHANGE_COUNT; i++) {
        double unit[CHANGE_COUNT] = {0.0};
        unit[i] = 1.0;
        matrix_solve_lower(sums->matrix, CHANGE_COUNT, unit);
        const double between = BETWEEN_RUNS * weak.deviation[i];
        prior->deviation[i] = sqrt(matrix_dot(unit, unit, CHANGE_COUNT) + between * between);
    }
    return ST_OK;
}

int main(int argc, char **argv)
{
    struct sums sums = {0};
    struct gain_prior prior = {0};
    struct error err;
    enum status st = ST_OK;
    for (int i = 1; st == ST_OK && i < argc; i++)
        st = add_folder(argv[i], &sums, &err);
    if (st == ST_OK)
        st = solve(&sums, &prior, &err);
    if (st != ST_OK) {
        fprintf(stderr, "make_prior: %s\n", err.message);
        return 2;
    }
    gain_prior_print(&prior, stdout);
    printf("# of %d changes in %d runs\n", (int)sums.count, (int)sums.runs);
    return 0;
}
