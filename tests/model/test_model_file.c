/* Model files: what is saved is loaded bit for bit, equal models are equal bytes, and no damaged file gets
 * in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/base/file.h"
#include "host/base/random.h"
#include "host/model/model_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/nasrun-model-XXXXXX";
static char path[64];

#define assert_ok(call, err)                                                                                 \
    do {                                                                                                     \
        if ((call) != ST_OK)                                                                                 \
            fail_msg("%s: %s", #call, (err).message);                                                        \
    } while (0)

/* A small trained-looking model: a convolution, a batch norm, a dense layer over 1 x 1 (or over 4 x 4)
 * inputs. */
struct sample {
    struct graph graph;
    struct weight_table table;
    float *values;
    struct model_about about;
};

static char *sample_names[] = {"cat", "d\xc3\xb6g \"x\""};
static double sample_thresholds[] = {0.75, 0.1 + 0.2};

static void sample_make(struct sample *sample, bool pooled)
{
    struct error err;
    int32_t last;
    struct layer conv = {.kind = LAYER_CONV,
                         .input_count = 1,
                         .inputs = {0},
                         .out_channels = 8,
                         .kernel_h = 3,
                         .kernel_w = 3,
                         .stride = 1,
                         .pad_h = 1,
                         .pad_w = 1,
                         .groups = 1};
    struct layer norm = {.kind = LAYER_BATCH_NORM, .input_count = 1};
    struct layer pool = {.kind = LAYER_GLOBAL_POOL, .input_count = 1};
    struct layer dense = {.kind = LAYER_DENSE, .input_count = 1, .out_channels = 2, .bias = true};

    assert_ok(graph_new(&sample->graph, 3, 4, 4, &err), err);
    assert_ok(graph_append(&sample->graph, conv, &last, &err), err);
    norm.inputs[0] = last;
    assert_ok(graph_append(&sample->graph, norm, &last, &err), err);
    if (pooled) {
        pool.inputs[0] = last;
        assert_ok(graph_append(&sample->graph, pool, &last, &err), err);
    }
    dense.inputs[0] = last;
    assert_ok(graph_append(&sample->graph, dense, &last, &err), err);
    assert_ok(graph_infer(&sample->graph, &err), err);
    assert_ok(weight_table_new(&sample->table, &sample->graph, &err), err);
    sample->values = calloc(sample->table.total, sizeof(float));
    assert_non_null(sample->values);
    for (int32_t t = 0; t < sample->table.count; t++)
        for (size_t i = 0; i < sample->table.tensors[t].count; i++)
            sample->values[sample->table.tensors[t].offset + i] =
                random_unit(random_draw(7, RANDOM_TEST, i, (uint32_t)t).v[0]) - 0.5f;
    sample->about = (struct model_about){.class_names = sample_names,
                                         .classes = 2,
                                         .mean = {0.1f, 1 / 3.0f, 0.5f},
                                         .deviation = {0.25f, 0.2f, 1e-3f},
                                         .fit = "crop",
                                         .views = 6,
                                         .temperature = 1.25f,
                                         .plain_temperature = 1 / 3.0f,
                                         .id = 17,
                                         .validation_accuracy = 0.1 + 0.2};
}

static void sample_free(struct sample *sample)
{
    free(sample->values);
    weight_table_free(&sample->table);
    graph_free(&sample->graph);
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/model.safetensors", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void round_trip(bool pooled, bool labels)
{
    struct sample sample;
    struct model model;
    struct error err;

    sample_make(&sample, pooled);
    sample.about.label_thresholds = labels ? sample_thresholds : NULL;
    assert_ok(model_save(path, &sample.graph, sample.values, &sample.about, &err), err);
    assert_ok(model_load(path, &model, &err), err);
    assert_int_equal(model.graph.count, sample.graph.count);
    assert_int_equal(model.table.total, sample.table.total);
    assert_memory_equal(model.values, sample.values, sample.table.total * sizeof(float));
    assert_int_equal(model.about.classes, 2);
    assert_string_equal(model.about.class_names[0], sample_names[0]);
    assert_string_equal(model.about.class_names[1], sample_names[1]);
    assert_memory_equal(model.about.mean, sample.about.mean, 3 * sizeof(float));
    assert_memory_equal(model.about.deviation, sample.about.deviation, 3 * sizeof(float));
    assert_string_equal(model.about.fit, "crop");
    assert_int_equal(model.about.views, 6);
    assert_true(model.about.temperature == 1.25f && model.about.plain_temperature == 1 / 3.0f);
    assert_int_equal(model.about.id, 17);
    assert_true(model.about.validation_accuracy == sample.about.validation_accuracy);
    assert_int_equal(model.about.label_thresholds != NULL, labels);
    if (labels)
        assert_memory_equal(model.about.label_thresholds, sample_thresholds, sizeof(sample_thresholds));
    model_free(&model);
    sample_free(&sample);
}

static void comes_back_bit_for_bit(void **state)
{
    (void)state;
    round_trip(true, false);
    round_trip(false, false);
    round_trip(true, true);
}

/* Models that were written before there were views have one, and those before temperatures are not calibrated. */
static void knows_older_files(void **state)
{
    (void)state;
    struct sample sample;
    struct model model;
    struct error err;
    char *bytes;
    size_t length;

    sample_make(&sample, true);
    assert_ok(model_save(path, &sample.graph, sample.values, &sample.about, &err), err);
    assert_ok(file_read(path, &bytes, &length, &err), err);
    static const struct {
        const char *key, *older;
    } keys[] = {{"\"views\":", "\"older\":"},
                {"\"temperature\":", "\"oldernature\":"},
                {"\"plain_temperature\":", "\"plain_nontemperat\":"}};
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        char *key = memmem(bytes, length, keys[k].key, strlen(keys[k].key));
        assert_non_null(key);
        memcpy(key, keys[k].older, strlen(keys[k].older));
    }
    assert_ok(file_write_atomic(path, bytes, length, &err), err);
    assert_ok(model_load(path, &model, &err), err);
    assert_int_equal(model.about.views, 1);
    assert_true(model.about.temperature == 1.0f && model.about.plain_temperature == 1.0f);
    model_free(&model);
    free(bytes);
    sample_free(&sample);
}

/* Other temperatures, and those of before again: every byte is as it was. */
static void changes_temperatures_alone(void **state)
{
    (void)state;
    struct sample sample;
    struct model model;
    struct error err;
    char *before, *after, other[80], hash[MODEL_HASH_LENGTH];
    size_t length, again;

    sample_make(&sample, true);
    snprintf(other, sizeof(other), "%s/other", folder);
    assert_ok(model_save(path, &sample.graph, sample.values, &sample.about, &err), err);
    assert_ok(file_read(path, &before, &length, &err), err);
    assert_ok(model_calibrate(path, other, 2.0f / 3.0f, 11.0f, NULL, hash, &err), err);
    assert_ok(model_load(other, &model, &err), err);
    assert_true(model.about.temperature == 2.0f / 3.0f && model.about.plain_temperature == 11.0f);
    assert_string_equal(model.hash, hash);
    assert_memory_equal(model.values, sample.values, sample.table.total * sizeof(float));
    model_free(&model);
    assert_ok(model_calibrate(other, path, sample.about.temperature, sample.about.plain_temperature, NULL,
                              hash, &err),
              err);
    assert_ok(file_read(path, &after, &again, &err), err);
    assert_int_equal(again, length);
    assert_memory_equal(after, before, length);
    assert_ok(file_write_atomic(other, before, 40, &err), err);
    assert_int_equal(model_calibrate(other, path, 1.0f, 1.0f, NULL, hash, &err), ST_FORMAT);
    unlink(other);
    free(before);
    free(after);
    sample_free(&sample);
}

/* Thresholds of labels that a search's model has give way to those that are found; without any they stay. */
static void changes_thresholds_of_labels(void **state)
{
    (void)state;
    struct sample sample;
    struct model model;
    struct error err;
    char *found, *wanted, other[80], hash[MODEL_HASH_LENGTH];
    size_t length, wanted_length;
    double even[] = {0.5, 0.5};

    sample_make(&sample, true);
    snprintf(other, sizeof(other), "%s/other", folder);
    sample.about.label_thresholds = sample_thresholds;
    assert_ok(model_save(path, &sample.graph, sample.values, &sample.about, &err), err);
    assert_ok(file_read(path, &wanted, &wanted_length, &err), err);
    sample.about.label_thresholds = even;
    assert_ok(model_save(other, &sample.graph, sample.values, &sample.about, &err), err);
    assert_ok(model_calibrate(other, path, 1.25f, 1 / 3.0f, sample_thresholds, hash, &err), err);
    assert_ok(model_calibrate(path, other, 2.0f, 1 / 3.0f, NULL, hash, &err), err);
    assert_ok(model_load(other, &model, &err), err);
    assert_memory_equal(model.about.label_thresholds, sample_thresholds, sizeof(sample_thresholds));
    assert_ok(file_read(path, &found, &length, &err), err);
    assert_int_equal(length, wanted_length);
    assert_memory_equal(found, wanted, length);
    unlink(other);
    model_free(&model);
    free(found);
    free(wanted);
    sample_free(&sample);
}

static void has_the_promised_layout(void **state)
{
    (void)state;
    struct sample sample;
    struct error err;
    char *first, *second;
    size_t length, second_length;
    uint64_t header = 0;

    sample_make(&sample, true);
    sample.about.validation_accuracy = NAN;
    assert_ok(model_save(path, &sample.graph, sample.values, &sample.about, &err), err);
    assert_ok(file_read(path, &first, &length, &err), err);
    sample.about.validation_accuracy = -NAN;
    assert_ok(model_save(path, &sample.graph, sample.values, &sample.about, &err), err);
    assert_ok(file_read(path, &second, &second_length, &err), err);
    assert_int_equal(length, second_length);
    assert_memory_equal(first, second, length);

    memcpy(&header, first, 8);
    assert_int_equal(header % 8, 0);
    /* kernel 8*3*3*3, four vectors of 8, dense 2*8 and 2 */
    assert_int_equal(length, 8 + header + 4 * (216 + 32 + 16 + 2));
    first[8 + header - 1] = '\0';
    assert_memory_equal(first + 8, "{\"__metadata__\":{", 17);
    assert_non_null(strstr(first + 8,
                           "\"layers.1.weight\":{\"dtype\":\"F32\",\"shape\":[8,3,3,3],\"data_offsets\":"
                           "[0,864]}"));
    assert_non_null(strstr(first + 8, "\"layers.2.running_mean\":{\"dtype\":\"F32\",\"shape\":[8],"));
    assert_non_null(strstr(first + 8, "\"layers.4.weight\":{\"dtype\":\"F32\",\"shape\":[2,8],"));
    assert_memory_equal(first + 8 + header, sample.values, 864);
    free(first);
    free(second);
    sample_free(&sample);
}

/* Writes the bytes and expects the load to refuse them with a one-line message that names the file. */
static void assert_refused(const char *bytes, size_t length, const char *expected)
{
    struct model model;
    struct error err;

    assert_ok(file_write_atomic(path, bytes, length, &err), err);
    assert_int_equal(model_load(path, &model, &err), ST_FORMAT);
    assert_memory_equal(err.message, path, strlen(path));
    assert_null(strchr(err.message, '\n'));
    if (expected != NULL && strstr(err.message, expected) == NULL)
        fail_msg("found \"%s\", expected \"%s\" in it", err.message, expected);
    assert_null(model.values);
}

static void refuses_every_cut(void **state)
{
    (void)state;
    struct sample sample;
    struct error err;
    char *bytes;
    size_t length;

    sample_make(&sample, true);
    assert_ok(model_save(path, &sample.graph, sample.values, &sample.about, &err), err);
    assert_ok(file_read(path, &bytes, &length, &err), err);
    for (size_t cut = 0; cut < length; cut += cut < 16 || cut + 16 > length ? 1 : 37)
        assert_refused(bytes, cut, NULL);
    assert_refused(bytes, length + 1,
                   "expected 1064 for the graph's weights"); /* file_read put a NUL behind */
    free(bytes);
    sample_free(&sample);
}

/* Replaces `from` by `to` of the same length in the header. */
static const struct damage {
    const char *from, *to, *expected;
} damages[] = {
    {"\"format\":\"nasrun-1\"", "\"format\":\"nasrun-9\"", "format is \"nasrun-9\", expected \"nasrun-1\""},
    {"__metadata__", "__metabata__", "no string \"format\""},
    {"\"views\":\"6\"", "\"views\":\"4\"", "\"views\" is \"4\", expected 1, 2, 3 or 6"},
    {"\"views\":\"6\"", "\"views\":\"x\"", "\"views\" is \"x\", expected 1, 2, 3 or 6"},
    {"\"temperature\":\"1.25\"", "\"temperature\":\"0.04\"",
     "\"temperature\" is \"0.04\", expected 0.05 to 20"},
    {"\"temperature\":\"1.25\"", "\"temperature\":\" nan\"",
     "\"temperature\" is \" nan\", expected 0.05 to 20"},
    {"\"plain_temperature\":\"0.33", "\"plain_temperature\":\"0.3x",
     "\"plain_temperature\" is \"0.3x3333343\", expected 0.05 to 20"},
    {"\"layers.1.weight\"", "\"layers.7.weight\"", "tensor layers.1.weight is missing"},
    {"\"dtype\":\"F32\"", "\"dtype\":\"F16\"", "dtype is F16, expected F32"},
    {"[8,3,3,3]", "[8,3,9,1]", "tensor layers.1.weight: the shape is another"},
    {"[0,864]", "[4,864]", "tensor layers.1.weight: data_offsets are [4, 864]"},
    {"[0,864]", "[0,9e9]", "expected 864 bytes inside 0 to 1064"},
    {"\"id\":\"17\"", "\"id\":\"1x\"", "\"id\" is \"1x\""},
    {"[0.25,", "[-.25,", NULL},
    {"[0.25,", "[0.00,", "deviation[0] is 0, expected above 0"},
    {"[\\\"cat\\\",", "[        ", NULL},
    {"[\\\"cat\\\",", "[   17  ,", "class_names[0] is no string"},
    {"[0.25,", "[     ", "\"deviation\" has 2 numbers, expected 3, one a channel"},
    {"[0.25,", "[null,", "\"deviation\" holds something that is no finite number"},
    {"[0.25,", "[{25},", "\"deviation\" in __metadata__ is no JSON: [{25},"},
    {"\\\"input\\\":[3,", "\\\"input\\\":[5,", "the graph's images have 5 channels, expected 1 to 4"},
    {"{\"dtype\"", "[\"dtype\"", "no JSON object"},
    {"\"[0.75,0.30", "\"[0.75 0.30", "\"label_thresholds\" in __metadata__ is no JSON: [0.75 0.30"},
    {"\"[0.75,", "\"[     ", "\"label_thresholds\" has 1 numbers, expected 2, one a class"},
    {"\"[0.75,", "\"[null,", "label_thresholds[0] is no number from 0 to 1"},
    {"\"[0.75,", "\"[1.01,", "label_thresholds[0] is no number from 0 to 1"},
    {"\"[0.75,0.", "\"[0.75,-.", NULL},
    {"\"[0.75,0.3", "\"[0.75,-13", "label_thresholds[1] is no number from 0 to 1"},
    {"\"label_thresholds\":\"[0.75,0.", "\"label_thresholds\":7,\"x\":\"0.",
     "no string \"label_thresholds\""},
};

static void refuses_a_changed_header(void **state)
{
    (void)state;
    struct sample sample;
    struct error err;
    char *bytes;
    size_t length;

    sample_make(&sample, true);
    sample.about.label_thresholds = sample_thresholds;
    assert_ok(model_save(path, &sample.graph, sample.values, &sample.about, &err), err);
    assert_ok(file_read(path, &bytes, &length, &err), err);
    for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
        const struct damage *damage = &damages[i];
        assert_int_equal(strlen(damage->from), strlen(damage->to));
        char *at = memmem(bytes, length, damage->from, strlen(damage->from));
        if (at == NULL)
            fail_msg("case %zu: no %s in the header", i, damage->from);
        memcpy(at, damage->to, strlen(damage->to));
        assert_refused(bytes, length, damage->expected);
        memcpy(at, damage->from, strlen(damage->from));
    }
    const float not_finite = NAN;
    memcpy(bytes + length - 8, &not_finite, sizeof(not_finite));
    assert_refused(bytes, length, "tensor layers.4.bias: value 0 is");
    free(bytes);
    sample_free(&sample);
}

/* The header with `to` in place of `from`, of any length. */
static void assert_other_refused(const char *bytes, size_t length, const char *from, const char *to,
                                 const char *expected)
{
    char *other = malloc(length + strlen(to));
    const char *at = memmem(bytes, length, from, strlen(from));
    uint64_t header;
    assert_non_null(other);
    assert_non_null(at);
    const size_t before = (size_t)(at - bytes), behind = before + strlen(from);
    memcpy(other, bytes, before);
    memcpy(other + before, to, strlen(to));
    memcpy(other + before + strlen(to), bytes + behind, length - behind);
    memcpy(&header, other, sizeof(header));
    header += strlen(to) - strlen(from);
    memcpy(other, &header, sizeof(header));
    assert_refused(other, length + strlen(to) - strlen(from), expected);
    free(other);
}

static void refuses_a_longer_header(void **state)
{
    (void)state;
    struct sample sample;
    struct error err;
    char *bytes, fit[300];
    size_t length;
    sample_make(&sample, true);
    assert_ok(model_save(path, &sample.graph, sample.values, &sample.about, &err), err);
    assert_ok(file_read(path, &bytes, &length, &err), err);
    snprintf(fit, sizeof(fit), "\"fit\":\"%0256d\"", 0);
    assert_other_refused(bytes, length, "\"fit\":\"crop\"", fit,
                         "\"fit\" has 256 bytes, expected less than 256");
    assert_other_refused(bytes, length, "{\"__metadata__\"", "{\"other\":{},\"__metadata__\"",
                         "8 tensors, expected the graph's 7");
    free(bytes);
    sample_free(&sample);
}

/* Any single bit of the header flipped: the load ends, with success or with a message that names the file. */
static void survives_every_flipped_bit(void **state)
{
    (void)state;
    struct sample sample;
    struct model model;
    struct error err;
    char *bytes;
    size_t length, refused = 0;
    uint64_t header = 0;

    sample_make(&sample, true);
    sample.about.label_thresholds = sample_thresholds;
    assert_ok(model_save(path, &sample.graph, sample.values, &sample.about, &err), err);
    assert_ok(file_read(path, &bytes, &length, &err), err);
    memcpy(&header, bytes, 8);
    for (size_t i = 0; i < 8 + header; i++) {
        bytes[i] ^= (char)(1 << (i % 8));
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, length, file), length);
        fclose(file);
        bytes[i] ^= (char)(1 << (i % 8));
        if (model_load(path, &model, &err) == ST_OK) {
            model_free(&model);
            continue;
        }
        assert_memory_equal(err.message, path, strlen(path));
        refused++;
    }
    assert_true(refused > header / 2); /* flips inside class names and numbers may pass */
    free(bytes);
    sample_free(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_bit_for_bit),     cmocka_unit_test(knows_older_files),
        cmocka_unit_test(changes_temperatures_alone), cmocka_unit_test(changes_thresholds_of_labels),
        cmocka_unit_test(has_the_promised_layout),    cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(refuses_a_changed_header),   cmocka_unit_test(refuses_a_longer_header),
        cmocka_unit_test(survives_every_flipped_bit),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
