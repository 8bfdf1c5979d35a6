/* Tests that look at images in several views: what the trainer finds beside logits of single views, each of images that
 * were shifted and mirrored here, averaged by hand. */
#include "host/base/random.h"
#include "host/device/views.h"
#include "tests/support/tiny_task.h"

#include <assert.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 23, PIXELS = TINY_SIDE * TINY_SIDE, MEMBERS = 2 };

static const struct device_ops *const DEVICES[] = {&ref_device_ops, &cpu_device_ops};

struct looked {
    int32_t shift, mirrored;
    double weight;
};

/* By the number of views. */
static const struct looked expected_views[VIEWS_MOST + 1][VIEWS_MOST] = {
    [1] = {{0, 0, 1.0}},
    [2] = {{0, 0, 0.5}, {0, 1, 0.5}},
    [3] = {{0, 0, 0.5}, {-1, 0, 0.25}, {1, 0, 0.25}},
    [6] = {{0, 0, 0.25}, {0, 1, 0.25}, {-1, 0, 0.125}, {-1, 1, 0.125}, {1, 0, 0.125}, {1, 1, 0.125}}};
static const int32_t counts[] = {1, 2, 3, 6};
enum { COUNTS = sizeof(counts) / sizeof(counts[0]) };

/* Of one class each, or with sets of labels: label_sets is NULL or `sets`. */
static const uint8_t sets[TINY_CLASSES * TINY_CLASSES] = {0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1};
static const uint8_t *label_sets;
static uint8_t pixels[IMAGES * PIXELS];
static int32_t labels[IMAGES], samples[IMAGES];

static void demand(enum status st, const struct error *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->message);
}

static int32_t reflected(int32_t i)
{
    return i < 0 ? -i : i >= TINY_SIDE ? 2 * TINY_SIDE - 2 - i : i;
}

static struct device_dataset *upload(const struct tiny_task *task, const struct looked *looked)
{
    static uint8_t changed[IMAGES * PIXELS];
    struct device_dataset *dataset;
    struct error err;
    for (int32_t i = 0; i < IMAGES * PIXELS; i++) {
        const int32_t y = i % PIXELS / TINY_SIDE, x = i % TINY_SIDE;
        const int32_t column = looked->mirrored ? TINY_SIDE - 1 - x : x;
        changed[i] = pixels[i / PIXELS * PIXELS + reflected(y + looked->shift) * TINY_SIDE +
                            reflected(column + looked->shift)];
    }
    const struct dataset_view view = {.count = IMAGES,
                                      .channels = 1,
                                      .height = TINY_SIDE,
                                      .width = TINY_SIDE,
                                      .classes = TINY_CLASSES,
                                      .pixels = changed,
                                      .labels = labels,
                                      .label_sets = label_sets,
                                      .label_set_count = label_sets != NULL ? TINY_CLASSES : 0,
                                      .mean = {0.4f},
                                      .deviation = {0.25f}};
    demand(task->ops->dataset_upload(task->device, &view, &dataset, &err), &err);
    return dataset;
}

/* Logits of the images, looked at in that way. */
static void logits_of(const struct tiny_task *task, const float *values, const struct looked *looked,
                      float logits[IMAGES * TINY_CLASSES])
{
    const struct lower_options options = {
        .purpose = PROG_EVALUATE, .batch = IMAGES, .sets = label_sets != NULL};
    const struct step step = {.valid = IMAGES};
    const struct device_ops *ops = task->ops;
    struct device_dataset *dataset = upload(task, looked);
    struct device_weights *weights;
    struct device_program *prepared;
    struct program program;
    struct error err;
    demand(lower_graph(&task->graph, &options, &program, &err), &err);
    demand(ops->weights_new(task->device, &program.weights, 1, &weights, &err), &err);
    demand(ops->weights_upload(task->device, weights, SLOT_VALUE, values, &err), &err);
    demand(ops->program_prepare(task->device, &program, &prepared, &err), &err);
    const struct device_binding binding = {
        .weights = weights, .dataset = dataset, .samples = samples, .sample_count = IMAGES};
    demand(ops->program_bind(task->device, prepared, &binding, &err), &err);
    demand(ops->program_run(task->device, prepared, &step, &err), &err);
    demand(ops->program_tensor(task->device, prepared, program.logits, logits, &err), &err);
    ops->program_free(task->device, prepared);
    ops->weights_free(task->device, weights);
    ops->dataset_free(task->device, dataset);
    program_free(&program);
}

/* From averaged logits, with sets; the confusion is set. */
static struct trainer_result result_of_sets(const double *logits, int64_t *confusion)
{
    struct trainer_result result = {0};
    memset(confusion, 0, TINY_CLASSES * LABELS_COUNTS * sizeof(*confusion));
    for (int32_t i = 0; i < IMAGES; i++) {
        int32_t wrong = 0;
        for (int32_t k = 0; k < TINY_CLASSES; k++) {
            const double logit = logits[i * TINY_CLASSES + k];
            const int32_t has = sets[labels[i] * TINY_CLASSES + k], given = logit >= 0.0;
            result.loss += log1p(exp(has ? -logit : logit)) / IMAGES;
            wrong += has != given;
            confusion[k * LABELS_COUNTS + 2 * has + given]++;
        }
        result.accuracy += (wrong == 0) / (double)IMAGES;
    }
    return result;
}

/* From averaged logits; the confusion is set. */
static struct trainer_result result_of(const double *logits, int64_t *confusion)
{
    struct trainer_result result = {0};
    memset(confusion, 0, TINY_CLASSES * TINY_CLASSES * sizeof(*confusion));
    for (int32_t i = 0; i < IMAGES; i++) {
        const double *row = logits + (size_t)i * TINY_CLASSES;
        double total = 0.0;
        int32_t best = 0;
        for (int32_t k = 0; k < TINY_CLASSES; k++) {
            total += exp(row[k]);
            best = row[k] > row[best] ? k : best;
        }
        result.loss += (log(total) - row[labels[i]]) / IMAGES;
        result.accuracy += (best == labels[i]) / (double)IMAGES;
        confusion[labels[i] * TINY_CLASSES + best]++;
    }
    return result;
}

static struct trainer_result by_hand(const struct tiny_task *task, const float *values, int32_t count,
                                     int64_t *confusion)
{
    double sums[IMAGES * TINY_CLASSES] = {0};
    float logits[IMAGES * TINY_CLASSES];
    for (int32_t v = 0; v < count; v++) {
        const struct looked *looked = &expected_views[count][v];
        logits_of(task, values, looked, logits);
        for (int32_t i = 0; i < IMAGES * TINY_CLASSES; i++)
            sums[i] += looked->weight * (double)logits[i];
    }
    return label_sets != NULL ? result_of_sets(sums, confusion) : result_of(sums, confusion);
}

static void assert_result(struct trainer_result found, struct trainer_result expected)
{
    if (!(fabs(found.loss - expected.loss) <= 1e-5) || !(fabs(found.accuracy - expected.accuracy) <= 1e-12))
        fail_msg("found loss %.9g, accuracy %.9g, expected %.9g, %.9g", found.loss, found.accuracy,
                 expected.loss, expected.accuracy);
}

static void draw_data(void)
{
    for (int32_t i = 0; i < IMAGES * PIXELS; i++)
        pixels[i] = (uint8_t)random_draw(3, RANDOM_TEST, (uint64_t)i, 0).v[0];
    for (int32_t i = 0; i < IMAGES; i++) {
        samples[i] = i;
        labels[i] = (int32_t)(random_draw(3, RANDOM_TEST, (uint64_t)i, 1).v[0] % TINY_CLASSES);
    }
}

/* What the answers to the images cost, each at its place. */
static double loss_of(const float *answers)
{
    double sum = 0.0;
    for (int32_t i = 0; i < IMAGES; i++)
        for (int32_t k = 0; k < TINY_CLASSES; k++) {
            const double p = (double)answers[i * TINY_CLASSES + k];
            if (label_sets != NULL)
                sum -= log(sets[labels[samples[i]] * TINY_CLASSES + k] ? p : 1.0 - p);
            else if (k == labels[samples[i]])
                sum -= log(p);
        }
    return sum / IMAGES;
}

static void assert_near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-5 * fmax(1.0, fabs(expected))))
        fail_msg("found %.9g, expected %.9g", found, expected);
}

/* The trainer's answers on `members` devices beside those by hand. Its batch is smaller than the images are many. */
static void compare(const struct device_ops *ops, int32_t members)
{
    const struct trainer_settings settings = tiny_task_settings();
    struct tiny_task tasks[MEMBERS];
    struct trainer_device devices[MEMBERS];
    struct trainer *trainer;
    struct error err;
    size_t bytes;
    double losses[COUNTS];
    for (int32_t k = 0; k < members; k++) {
        tiny_task_open_at(&tasks[k], ops, k, true);
        devices[k] = (struct trainer_device){.ops = ops,
                                             .handle = tasks[k].device,
                                             .dataset = upload(&tasks[k], &expected_views[1][0]),
                                             .train = samples,
                                             .train_count = IMAGES,
                                             .validation = samples,
                                             .validation_count = IMAGES,
                                             .label_sets = label_sets};
    }
    float *values = tiny_task_weights(&tasks[0].graph, 5, NULL);
    demand(trainer_open(devices, members, &tasks[0].graph, &settings, SIZE_MAX, &trainer, &bytes, &err),
           &err);
    demand(trainer_load_values(trainer, values, &err), &err);
    for (int32_t i = 0; i < COUNTS; i++) {
        int64_t found[TINY_CLASSES * TINY_CLASSES] = {0}, expected[TINY_CLASSES * TINY_CLASSES];
        int64_t of_class[TINY_CLASSES] = {0};
        int32_t all_right = 0;
        uint8_t right[IMAGES];
        float answers[IMAGES * TINY_CLASSES], plain[IMAGES * TINY_CLASSES];
        struct trainer_test test = {.samples = samples,
                                    .count = IMAGES,
                                    .views = counts[i],
                                    .classes = TINY_CLASSES,
                                    .labels = labels,
                                    .label_sets = label_sets,
                                    .confusion = found,
                                    .right = right,
                                    .answers = answers,
                                    .plain_answers = plain};
        memset(right, 2, sizeof(right));
        demand(trainer_test(trainer, &test, &err), &err);
        assert_result(test.plain, by_hand(&tasks[0], values, 1, expected));
        assert_result(test.result, by_hand(&tasks[0], values, counts[i], expected));
        assert_memory_equal(found, expected, sizeof(found));
        for (int32_t k = 0; k < IMAGES; k++) {
            assert_true(right[k] <= 1);
            of_class[labels[samples[k]]] += right[k];
            all_right += right[k];
        }
        assert_true(fabs(all_right - IMAGES * test.result.accuracy) < 1e-9);
        for (int32_t c = 0; label_sets == NULL && c < TINY_CLASSES; c++)
            assert_int_equal(of_class[c], found[c * TINY_CLASSES + c]);
        assert_near(loss_of(answers), test.result.loss);
        assert_near(loss_of(plain), test.plain.loss);
        losses[i] = test.result.loss;
        for (int32_t k = 0; k < i; k++)
            assert_true(fabs(losses[i] - losses[k]) > 1e-4); /* each view counts */
    }
    trainer_close(trainer);
    free(values);
    for (int32_t k = 0; k < members; k++) {
        ops->dataset_free(tasks[k].device, devices[k].dataset);
        tiny_task_close(&tasks[k]);
    }
}

static void test_averages_by_hand(void **state)
{
    (void)state;
    for (size_t d = 0; d < sizeof(DEVICES) / sizeof(DEVICES[0]); d++)
        for (int32_t members = 1; members <= MEMBERS; members++)
            compare(DEVICES[d], members);
}

static void test_averages_of_sets_by_hand(void **state)
{
    (void)state;
    static_assert((int)LABELS_COUNTS == (int)TINY_CLASSES, "one matrix has room for either confusion");
    label_sets = sets;
    for (size_t d = 0; d < sizeof(DEVICES) / sizeof(DEVICES[0]); d++)
        for (int32_t members = 1; members <= MEMBERS; members++)
            compare(DEVICES[d], members);
    label_sets = NULL;
}

static void test_which_there_are(void **state)
{
    (void)state;
    for (int32_t count = -1; count <= VIEWS_MOST + 1; count++) {
        bool known = false;
        for (int32_t i = 0; i < COUNTS; i++)
            known = known || counts[i] == count;
        assert_int_equal(views_are_known(count), known);
        for (int32_t v = 0; known && v < count; v++) {
            const struct views views = views_of(count);
            const struct looked *looked = &expected_views[count][v];
            assert_int_equal(views.count, count);
            assert_int_equal(views.items[v].shift_y, looked->shift);
            assert_int_equal(views.items[v].shift_x, looked->shift);
            assert_int_equal(views.items[v].mirrored, looked->mirrored);
            assert_true(!((double)views.weights[v] != looked->weight));
        }
    }
}

/* A class that one view excludes can be the answer; one that all exclude can't. */
static void test_excluded_classes(void **state)
{
    const float first[] = {1.0f, 0.0f, 0.0f}, second[] = {0.0f, 1.0f, 0.0f}, third[] = {0.1f, 0.9f, 0.0f};
    float sums[3] = {0};
    (void)state;
    views_add(sums, first, 3, 0.5f, false);
    views_add(sums, second, 3, 0.25f, false);
    views_add(sums, third, 3, 0.25f, false);
    views_finish(sums, 1, 3, false);
    assert_true(sums[0] > 0.99f && sums[1] < 0.01f && sums[2] < 1e-6f);
    assert_true(fabs((double)(sums[0] + sums[1] + sums[2]) - 1.0) <= 1e-6);
}

/* Each probability is averaged by itself, as a logit; those that floats make 0 or 1 remain finite. */
static void test_sets_by_formula(void **state)
{
    static const float first[] = {0.25f, 1.0f, 0.0f, 1.0f, 0.75f, 0x1p-140f},
                       second[] = {0.9f, 0.5f, 0.5f, 0.0f, 0.25f, 0x1p-140f};
    float sums[6] = {0};
    (void)state;
    views_add(sums, first, 6, 0.25f, true);
    views_add(sums, second, 6, 0.75f, true);
    assert_true(fabs((double)sums[0] - (0.25 * log(0.25 / 0.75) + 0.75 * log(0.9 / 0.1))) <= 1e-6);
    views_finish(sums, 2, 3, true);
    const double most = 25.0 * log(2.0), least = 126.0 * log(2.0); /* logits of 1 and of 0 */
    const double expected[] = {1.0 / (1.0 + pow(3.0, 0.25) * pow(9.0, -0.75)),
                               1.0 / (1.0 + exp(-0.25 * most)),
                               1.0 / (1.0 + exp(0.25 * least)),
                               1.0 / (1.0 + exp(0.75 * least - 0.25 * most)),
                               1.0 / (1.0 + pow(3.0, 0.5)),
                               1.0 / (1.0 + exp(least))};
    for (int32_t i = 0; i < 6; i++)
        assert_true(fabs((double)sums[i] - expected[i]) <= 1e-5 * expected[i]);
}

/* What the job allows, of what the training has shown the network. */
static void test_of_jobs(void **state)
{
    static const struct {
        int32_t wanted, translate;
        bool flip;
        int32_t views;
    } cases[] = {{JOB_AUTO, 2, true, 6},  {JOB_AUTO, 2, false, 3}, {JOB_AUTO, 0, true, 2},
                 {JOB_AUTO, 0, false, 1}, {1, 2, true, 1},         {1, 2, false, 1},
                 {2, 2, true, 2},         {2, 2, false, 1},        {6, 0, true, 6},
                 {6, 2, false, 3}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct job_evaluate evaluate = {.views = cases[i].wanted};
        const struct job_train train = {.translate = cases[i].translate, .flip = cases[i].flip};
        assert_int_equal(trainer_views_of(&evaluate, &train), cases[i].views);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_there_are),          cmocka_unit_test(test_averages_by_hand),
        cmocka_unit_test(test_averages_of_sets_by_hand), cmocka_unit_test(test_excluded_classes),
        cmocka_unit_test(test_sets_by_formula),          cmocka_unit_test(test_of_jobs),
    };
    draw_data();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
