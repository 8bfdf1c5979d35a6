/* What short trainings are taken to say of long ones: on laws that are known, with noise, and on trainings that were
 * made. */
#include "host/base/random.h"
#include "host/search/ladder_predict.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { VALIDATION = 5000, TASKS = 300, FAMILIES = 2, WIDTHS = 3, RUNS = FAMILIES * WIDTHS };

static void predict(const struct ladder_run *runs, int32_t count, double balance,
                    const struct ladder_run *wanted, int32_t wanted_count, struct ladder_guess *guesses)
{
    const struct ladder_seen seen = {runs, count, balance, VALIDATION};
    struct error err;
    if (ladder_predict(&seen, wanted, wanted_count, guesses, &err) != ST_OK)
        fail_msg("%s", err.message);
}

/* ---- trainings that were made: CIFAR-10 at 16 x 16 pixels, 10,000 images, one family in four widths ---- */

enum { MADE_WIDTHS = 4 };

/* For a training of 12 and of 24 seconds each, two seeds; epochs follow from the seconds and the size. */
static const struct {
    double size, after_12, after_24, after_85, after_255; /* errors; NAN: not trained so long */
} MADE[MADE_WIDTHS] = {
    {0.0725, 0.448, 0.406, 0.3440, NAN},
    {0.2560, 0.498, 0.436, 0.3315, 0.3034},
    {0.5600, 0.550, 0.463, 0.3485, 0.3006},
    {1.0000, 0.608, 0.514, NAN, NAN},
};
static const double MADE_EPOCHS = 0.0957; /* a second of size 1 */
enum { MADE_IMAGES = 10000 };

static int32_t choose_made(double seconds, int32_t lengths)
{
    struct ladder_run runs[2 * MADE_WIDTHS], wanted[MADE_WIDTHS];
    struct ladder_guess guesses[MADE_WIDTHS];
    int32_t count = 0;
    for (int32_t w = 0; w < MADE_WIDTHS; w++) {
        const double speed = MADE_EPOCHS / MADE[w].size;
        runs[count++] = (struct ladder_run){0, MADE[w].size, 0.0, 12.0 * speed, MADE[w].after_12, 0};
        if (lengths > 1)
            runs[count++] = (struct ladder_run){0, MADE[w].size, 0.0, 24.0 * speed, MADE[w].after_24, 0};
        wanted[w] = (struct ladder_run){0, MADE[w].size, 0.0, seconds * speed, 0.0, 0};
    }
    predict(runs, count, ladder_balance(MADE_IMAGES), wanted, MADE_WIDTHS, guesses);
    for (int32_t w = 0; w < MADE_WIDTHS; w++)
        printf("%3.0f s, size %.3f: %.4f +- %.3f\n", seconds, MADE[w].size, exp(guesses[w].mean),
               guesses[w].deviation);
    return ladder_choose(wanted, guesses, MADE_WIDTHS);
}

/* The narrowest is the best of all short ones, and never the best of the long ones. */
static void test_trainings_that_were_made(void **state)
{
    (void)state;
    for (int32_t lengths = 1; lengths <= 2; lengths++) {
        const int32_t of_85 = choose_made(85.0, lengths), of_255 = choose_made(255.0, lengths);
        assert_true(of_85 == 1 || of_85 == 2);
        assert_true(MADE[of_85].after_85 - 0.3315 < 0.018);
        assert_int_equal(of_255, 2);
    }
}

/* ---- laws ---- */

/* error = floor + a size^-alpha + b (epochs / balance)^-beta, at most `most` */
struct law {
    double floor, a, alpha, b, beta;
};

static double error_of(const struct law *law, double size, double epochs)
{
    return fmin(0.85, law->floor + law->a * pow(size, -law->alpha) + law->b * pow(epochs, -law->beta));
}

static double between(struct random_sequence *random, double least, double most)
{
    return least + (most - least) * (double)random_next_unit(random);
}

/* Sum of twelve. */
static double normal(struct random_sequence *random)
{
    double sum = -6.0;
    for (int i = 0; i < 12; i++)
        sum += (double)random_next_unit(random);
    return sum;
}

/* Families of one task: the error at the balance, and how it is divided, differ a little between them. */
static void draw_laws(struct random_sequence *random, struct law laws[FAMILIES])
{
    const double whole = between(random, 0.05, 0.4), tilt = exp(0.4 * normal(random));
    for (int f = 0; f < FAMILIES; f++) {
        const double error = whole * exp(0.1 * normal(random));
        laws[f] = (struct law){.floor = 0.2 * error,
                               .a = 0.4 * error * tilt,
                               .alpha = between(random, 0.25, 0.5),
                               .b = 0.4 * error / tilt,
                               .beta = between(random, 0.3, 0.6)};
    }
}

struct outcome {
    /* logarithms: of the error over the least of those that could be chosen; of the size */
    double regret, size;
};

/* About what the prior finds best, a factor of 2 apart. */
static double size_of(double compute, int32_t width)
{
    return sqrt(compute) * pow(2.0, width - 1);
}

static struct outcome outcome_of(const struct law laws[FAMILIES], double compute,
                                 const struct ladder_run *run)
{
    double best = 1.0;
    for (int f = 0; f < FAMILIES; f++)
        for (int w = 0; w < WIDTHS; w++)
            best = fmin(best, error_of(&laws[f], size_of(compute, w), compute / size_of(compute, w)));
    const double found = error_of(&laws[run->family], run->size, compute / run->size);
    return (struct outcome){log(found / best), log(run->size)};
}

/* Two families in three sizes each about the prior's, in trainings that take a sixty-fourth of the compute, the better
 * half of them in trainings twice as long. */
static void one_task(struct random_sequence *random, double compute, struct outcome *chosen,
                     struct outcome *naive)
{
    struct law laws[FAMILIES];
    struct ladder_run runs[2 * RUNS], wanted[RUNS];
    struct ladder_guess guesses[RUNS];
    const double balance = 20.0;
    int32_t count = 0, first = 0;
    draw_laws(random, laws);
    for (int32_t i = 0; i < RUNS; i++) {
        const int32_t f = i / WIDTHS;
        const double size = size_of(compute, i % WIDTHS);
        for (int32_t length = 1; length <= 2; length++) {
            const double epochs = length * compute / size / 64.0;
            const double error = error_of(&laws[f], size, epochs) * exp(0.03 * normal(random));
            if (length == 1 || i % 2 == 0)
                runs[count++] = (struct ladder_run){f, size, 0.0, balance * epochs, fmin(error, 1.0), 0};
        }
        wanted[i] = (struct ladder_run){f, size, 0.0, balance * compute / size, 0.0, 0};
    }
    predict(runs, count, balance, wanted, RUNS, guesses);
    *chosen = outcome_of(laws, compute, &wanted[ladder_choose(wanted, guesses, RUNS)]);
    for (int32_t i = 0; i < count; i++) /* the best of what was seen */
        first = runs[i].error < runs[first].error ? i : first;
    *naive = outcome_of(laws, compute, &runs[first]);
}

static void test_laws(void **state)
{
    (void)state;
    for (int budget = 0; budget < 3; budget++) {
        const double compute = 0.75 * pow(4.0, budget); /* 15, 60, 240 epochs of the usual network */
        struct random_sequence random = {.seed = 11, .stream = RANDOM_SEARCH, .part = (uint32_t)budget};
        struct outcome chosen = {0}, naive = {0};
        for (int task = 0; task < TASKS; task++) {
            struct outcome ours, other;
            one_task(&random, compute, &ours, &other);
            chosen.regret += ours.regret / TASKS;
            chosen.size += ours.size / TASKS;
            naive.regret += other.regret / TASKS;
            naive.size += other.size / TASKS;
        }
        printf("compute %4.1f: regret %.3f, naive %.3f; size %.2f, naive %.2f\n", compute, chosen.regret,
               naive.regret, exp(chosen.size), exp(naive.size));
        assert_true(chosen.regret < 0.07);
        assert_true(chosen.regret < 0.7 * naive.regret);
        assert_true(naive.size < 0.5 * log(compute) - 0.3 && chosen.size > naive.size + 0.15);
    }
}

/* ---- what the law is ---- */

static void test_prior(void **state)
{
    const struct ladder_run wanted[] = {{0, 1.0, 0.0, 20.0, 0.0, 0},
                                        {0, 2.0, 0.0, 10.0, 0.0, 0},
                                        {0, 0.5, 0.0, 40.0, 0.0, 0},
                                        {0, 1.0, 1.0, 20.0, 0.0, 1}};
    struct ladder_guess guesses[4];
    (void)state;
    predict(NULL, 0, 20.0, wanted, 4, guesses);
    assert_true(guesses[0].mean < guesses[1].mean && guesses[0].mean < guesses[2].mean);
    assert_true(fabs(guesses[1].mean - guesses[2].mean) < 1e-12);
    assert_true(guesses[0].mean < guesses[3].mean); /* the usual learning rate */
    assert_true(ladder_best_size(80.0, 20.0) == 2.0 && ladder_best_size(20.0, 20.0) == 1.0);
    assert_true(ladder_balance(45000) == 16.0 && ladder_balance(11250) == 32.0);
}

/* Of another family that was never trained less is known; a training says what its own length
 * brings; two say more. */
static void test_doubt(void **state)
{
    const struct ladder_run runs[] = {{0, 1.0, 0.0, 2.0, 0.4, 0}, {0, 1.0, 0.0, 4.0, 0.3, 0}};
    const struct ladder_run wanted[] = {
        {0, 1.0, 0.0, 2.0, 0.0, 0}, {0, 1.0, 0.0, 20.0, 0.0, 0}, {1, 1.0, 0.0, 20.0, 0.0, 0}};
    struct ladder_guess one[3], two[3];
    (void)state;
    predict(runs, 1, 20.0, wanted, 3, one);
    predict(runs, 2, 20.0, wanted, 3, two);
    assert_true(fabs(one[0].mean - log(0.4)) < 0.01 && one[0].deviation < 0.05);
    assert_true(one[1].deviation > one[0].deviation && one[1].deviation < 0.5);
    assert_true(two[1].deviation < one[1].deviation);
    assert_true(one[2].deviation > one[1].deviation && two[2].deviation > two[1].deviation);
    assert_true(two[1].mean < log(0.3));
}

/* Families of which one is better in every training. */
static void test_better_family(void **state)
{
    struct ladder_run runs[4], wanted[2];
    struct ladder_guess guesses[2];
    (void)state;
    for (int32_t i = 0; i < 4; i++)
        runs[i] = (struct ladder_run){
            i / 2, 1.0, 0.0, 1.0 + i % 2, (i / 2 == 1 ? 0.9 : 1.0) * (0.4 - 0.1 * (i % 2)), 0};
    for (int32_t f = 0; f < 2; f++)
        wanted[f] = (struct ladder_run){f, 1.0, 0.0, 30.0, 0.0, 0};
    predict(runs, 4, 20.0, wanted, 2, guesses);
    assert_int_equal(ladder_choose(wanted, guesses, 2), 1);
}

static void test_choice(void **state)
{
    const struct ladder_run wanted[] = {{0, 1.0, 0.0, 9.0, 0.0, 0},
                                        {0, 2.0, 0.0, 9.0, 0.0, 0},
                                        {0, 2.0, 1.0, 9.0, 0.0, 1},
                                        {1, 4.0, 0.0, 9.0, 0.0, 0}};
    const struct ladder_guess near[] = {{-2.0, 0.1}, {-1.990, 0.1}, {-1.995, 0.1}, {-1.999, 0.1}};
    const struct ladder_guess far[] = {{-2.0, 0.1}, {-1.95, 0.1}, {-1.9, 0.1}, {-1.9, 0.1}};
    const struct ladder_guess later[] = {{-1.98, 0.1}, {-1.99, 0.1}, {-1.9, 0.1}, {-2.0, 0.1}};
    const struct ladder_guess better[] = {{-1.97, 0.1}, {-1.96, 0.1}, {-1.9, 0.1}, {-2.0, 0.1}};
    (void)state;
    assert_int_equal(ladder_choose(wanted, near, 4), 2); /* the larger, and of two alike the better one */
    assert_int_equal(ladder_choose(wanted, far, 4), 0);
    assert_int_equal(ladder_choose(wanted, later, 4), 1); /* the first family, if the other one is as good */
    assert_int_equal(ladder_choose(wanted, better, 4), 3);
}

/* No error at all, or nothing but errors, is no certainty. */
static void test_ends(void **state)
{
    const struct ladder_run wanted = {0, 1.0, 0.0, 20.0, 0.0, 0};
    struct ladder_guess guess;
    (void)state;
    for (int all = 0; all <= 1; all++) {
        const struct ladder_run run = {0, 1.0, 0.0, 2.0, all, 0};
        predict(&run, 1, 20.0, &wanted, 1, &guess);
        assert_true(isfinite(guess.mean) && guess.deviation > 0.0);
    }
}

static enum status predict_after(const struct ladder_run *runs, int32_t count,
                                 const struct ladder_run *wanted)
{
    const struct ladder_seen seen = {runs, count, 9.0, 9};
    struct ladder_guess guess;
    struct error err;
    return ladder_predict(&seen, wanted, 1, &guess, &err);
}

static void test_refused(void **state)
{
    static struct ladder_run many[LADDER_MOST_RUNS + 1];
    const struct ladder_run good = {0, 1.0, 0.0, 2.0, 0.5, 0};
    (void)state;
    for (int32_t i = 0; i <= LADDER_MOST_RUNS; i++)
        many[i] = good;
    assert_int_equal(predict_after(many, LADDER_MOST_RUNS, &good), ST_OK);
    assert_int_equal(predict_after(many, LADDER_MOST_RUNS + 1, &good), ST_RANGE);
    struct ladder_run bad[] = {good, good, good, good, good, good};
    bad[0].size = 0.0, bad[1].change = -1.0, bad[2].epochs = NAN, bad[3].error = 1.5, bad[4].error = NAN,
    bad[5].epochs = INFINITY;
    for (int i = 0; i < 6; i++)
        assert_int_equal(predict_after(&bad[i], 1, &good), ST_RANGE);
    assert_int_equal(predict_after(&good, 1, &bad[0]), ST_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trainings_that_were_made),
        cmocka_unit_test(test_laws),
        cmocka_unit_test(test_prior),
        cmocka_unit_test(test_doubt),
        cmocka_unit_test(test_better_family),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
