/* Model files of a run: written and read again, which is the best, which may go. */
#include "host/run/store.h"

#include "host/base/file.h"
#include "host/model/model_file.h"
#include "host/net/start.h"
#include "tests/support/data_files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CLASSES = 3, PARENTS_AND_MORE = SEARCH_PARENTS + 4 };
static const struct shape IMAGE = {0, 1, 12, 12};
static char *names[CLASSES] = {"cat", "dog", "horse"};

struct fixture {
    struct job job;
    struct run run;
    struct graph graph;
    struct weight_table table;
    float *values;
};

static void open_all(struct fixture *f)
{
    struct error err;
    *f = (struct fixture){.job = {.dataset = {.fit = JOB_FIT_CROP},
                                  .search = {.strategy = JOB_STRATEGY_RANDOM, .max_morphs = 1}},
                          .run = {.job = &f->job,
                                  .folder = data_files_folder(),
                                  .data = {.class_names = names,
                                           .classes = CLASSES,
                                           .channels = 1,
                                           .mean = {0.25f},
                                           .deviation = {0.5f}},
                                  .display = {.verbosity = -2}, /* not even what is always said */
                                  .best_id = -1,
                                  .published_id = -1,
                                  .calibration = {.id = -1},
                                  .best_accuracy = -1.0,
                                  .best_loss = INFINITY}};
    assert_int_equal(start_make(&f->graph, "lean", 8, IMAGE, CLASSES, &err), ST_OK);
    assert_int_equal(weight_table_new(&f->table, &f->graph, &err), ST_OK);
    f->values = calloc(f->table.total, sizeof(*f->values)); /* gaps hold zeros */
    assert_non_null(f->values);
    for (int32_t t = 0; t < f->table.count; t++)
        for (size_t i = 0; i < f->table.tensors[t].count; i++)
            f->values[f->table.tensors[t].offset + i] = (float)(i + 1) / (float)(8 + t);
    const struct search_setup setup = {.job = &f->job.search, .seed = 1, .image = IMAGE, .classes = CLASSES};
    assert_int_equal(search_new(&setup, &f->run.search, &err), ST_OK);
    assert_int_equal(weight_cache_open(&f->run.devices, &f->run.weights, &err), ST_OK);
}

static void close_all(struct fixture *f)
{
    weight_cache_close(f->run.weights);
    search_free(f->run.search);
    weight_table_free(&f->table);
    graph_free(&f->graph);
    free(f->values);
    free(f->run.hashes);
    data_files_remove(f->run.folder);
}

static void save(struct fixture *f, int32_t id, float first)
{
    struct error err;
    f->values[0] = first;
    assert_int_equal(store_save(&f->run, id, &f->graph, f->values, 0.5, &err), ST_OK);
}

static bool has_file(const struct run *run, int32_t id)
{
    char *path = run_model_path(run, id);
    const bool there = file_exists(path);
    free(path);
    return there;
}

static void test_paths(void **state)
{
    const struct run run = {.folder = "runs/a"};
    char *paths[] = {run_path(&run, "x"), run_model_path(&run, 12), run_checkpoint_path(&run, 7)};
    (void)state;
    assert_string_equal(paths[0], "runs/a/x");
    assert_string_equal(paths[1], "runs/a/models/12.safetensors");
    assert_string_equal(paths[2], "runs/a/checkpoint-7.bin");
    for (int i = 0; i < 3; i++)
        free(paths[i]);
}

static void test_save_and_load(void **state)
{
    struct fixture f;
    struct graph graph = {0};
    struct model model = {0};
    struct error err;
    float *values = NULL;
    (void)state;
    open_all(&f);
    save(&f, 4, 0.125f);
    assert_int_equal(store_load(&f.run, 4, &graph, &values, &err), ST_OK);
    assert_int_equal(graph.count, f.graph.count);
    assert_memory_equal(values, f.values, f.table.total * sizeof(*values));
    graph_free(&graph);
    free(values);

    /* What others read there beside the weights. */
    char *path = run_model_path(&f.run, 4);
    assert_int_equal(model_load(path, &model, &err), ST_OK);
    assert_int_equal(model.about.id, 4);
    assert_int_equal(model.about.classes, CLASSES);
    assert_string_equal(model.about.class_names[2], "horse");
    assert_string_equal(model.about.fit, "crop");
    assert_true(model.about.mean[0] == 0.25f && model.about.deviation[0] == 0.5f);
    assert_true(model.about.validation_accuracy == 0.5);
    model_free(&model);
    free(path);

    graph = (struct graph){0};
    values = NULL;
    assert_int_equal(store_load(&f.run, 5, &graph, &values, &err), ST_IO);
    assert_non_null(strstr(err.message, "models/5.safetensors"));
    assert_null(values);
    close_all(&f);
}

/* Flips a bit in the middle of a file. */
static void damage(const char *path)
{
    struct error err;
    char *data;
    size_t length;
    assert_int_equal(file_read(path, &data, &length, &err), ST_OK);
    data[length - 3] ^= 1; /* of a weight, which stays a number */
    assert_int_equal(file_write_atomic(path, data, length, &err), ST_OK);
    free(data);
}

/* A weight that was changed is noticed by the hash, and which model is lost is told. */
static void test_damaged(void **state)
{
    struct fixture f;
    struct graph graph = {0};
    struct error err;
    float *values = NULL;
    (void)state;
    open_all(&f);
    f.run.lost_id = -1;
    for (int32_t id = 4; id < 7; id++)
        save(&f, id, (float)id);
    assert_null(store_hash(&f.run, 3, RUN_MODEL));
    assert_null(store_hash(&f.run, 4000, RUN_MODEL));
    assert_non_null(store_hash(&f.run, 5, RUN_MODEL));
    char *path = run_model_path(&f.run, 5);
    damage(path);
    assert_int_equal(store_load(&f.run, 5, &graph, &values, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, "models/5.safetensors: its hash is xxh3:"));
    assert_non_null(strstr(err.message, "--salvage"));
    assert_int_equal(f.run.lost_id, 5);
    assert_null(values);
    /* Of several the first. */
    free(path);
    path = run_model_path(&f.run, 4);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(store_load(&f.run, 4, &graph, &values, &err), ST_IO);
    assert_non_null(strstr(err.message, "--salvage"));
    assert_int_equal(f.run.lost_id, 4);
    free(path);
    path = run_model_path(&f.run, 6);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(store_load(&f.run, 6, &graph, &values, &err), ST_FORMAT);
    assert_int_equal(f.run.lost_id, 4);
    free(path);
    close_all(&f);
}

/* Losses of a model that others are compared with: one that was changed is noticed, too. */
static void test_losses(void **state)
{
    static const float losses[] = {0.5f, 1.0f, 1.5f}, less[] = {0.25f, 0.75f, 1.25f};
    struct fixture f;
    struct error err;
    double gain, deviation;
    (void)state;
    open_all(&f);
    f.run.lost_id = -1;
    f.run.data.sample_count[SPLIT_VALIDATION] = sizeof(losses) / sizeof(losses[0]);
    assert_int_equal(store_save_losses(&f.run, 2, losses, &err), ST_OK);
    assert_non_null(store_hash(&f.run, 2, RUN_LOSSES));
    assert_null(store_hash(&f.run, 2, RUN_MODEL));
    assert_int_equal(store_compare(&f.run, 2, less, &gain, &deviation, &err), ST_OK);
    assert_true(gain == 0.25 && deviation == 0.0);
    char *path = run_losses_path(&f.run, 2);
    damage(path);
    assert_int_equal(store_compare(&f.run, 2, less, &gain, &deviation, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, "models/2.losses: its hash is xxh3:"));
    assert_non_null(strstr(err.message, "--salvage"));
    assert_int_equal(f.run.lost_id, 2);
    f.run.hashes[2].text[RUN_LOSSES][0] = '\0'; /* of an older version */
    assert_int_equal(store_compare(&f.run, 2, less, &gain, &deviation, &err), ST_OK);
    free(path);
    close_all(&f);
}

static void note(struct run *run, int32_t id, double accuracy, double loss, uint32_t joined)
{
    const struct candidate candidate = {
        .id = id, .validation = {.loss = loss, .accuracy = accuracy}, .joined = joined};
    store_note_best(run, &candidate);
}

static void test_best(void **state)
{
    static const struct {
        double accuracy, loss;
        int32_t best; /* after it */
    } noted[] = {{0.5, 1.0, 0}, {0.4, 0.1, 0}, {0.5, 1.0, 0}, {0.5, 0.9, 3},
                 {0.6, 2.0, 4}, {NAN, NAN, 4}, {0.6, NAN, 4}};
    struct run run = {.best_id = -1, .best_accuracy = -1.0, .best_loss = INFINITY};
    (void)state;
    for (int32_t id = 0; id < (int32_t)(sizeof(noted) / sizeof(noted[0])); id++) {
        note(&run, id, noted[id].accuracy, noted[id].loss, 0);
        assert_int_equal(run.best_id, noted[id].best);
        assert_true(run.best_accuracy == noted[run.best_id].accuracy &&
                    run.best_loss == noted[run.best_id].loss);
    }
    note(&run, 7, 0.56, 1.0, 100); /* it got better when it had the validation images */
    assert_int_equal(run.best_id, 7);
    note(&run, 8, 0.5, 0.1, 100);
    assert_int_equal(run.best_id, 7);
}

static void test_publish(void **state)
{
    struct fixture f;
    struct error err;
    char *data[2];
    size_t lengths[2];
    (void)state;
    open_all(&f);
    char *published = run_path(&f.run, MODEL_FILE_NAME), *file = run_model_path(&f.run, 2);
    assert_int_equal(store_publish_best(&f.run, &err), ST_OK); /* there is none */
    assert_false(file_exists(published));
    save(&f, 2, 5.0f);
    note(&f.run, 2, 0.5, 1.0, 0);
    assert_int_equal(store_publish_best(&f.run, &err), ST_OK);
    assert_int_equal(f.run.published_id, 2);
    assert_int_equal(file_read(published, &data[0], &lengths[0], &err), ST_OK);
    assert_int_equal(file_read(file, &data[1], &lengths[1], &err), ST_OK);
    assert_int_equal(lengths[0], lengths[1]);
    assert_memory_equal(data[0], data[1], lengths[0]);
    free(data[0]);
    free(data[1]);
    /* Once: what is published is not written again. */
    assert_int_equal(unlink(published), 0);
    assert_int_equal(store_publish_best(&f.run, &err), ST_OK);
    assert_false(file_exists(published));
    /* A best one without a file is an error, and not published. */
    note(&f.run, 3, 0.6, 1.0, 0);
    assert_int_equal(store_publish_best(&f.run, &err), ST_IO);
    assert_int_equal(f.run.published_id, 2);
    free(published);
    free(file);
    close_all(&f);
}

/* model.safetensors is written again when it is not what was published, from a good file only. */
static void test_published_again(void **state)
{
    struct fixture f;
    struct error err;
    char *good, *data;
    size_t length, found;
    (void)state;
    open_all(&f);
    f.run.lost_id = -1;
    char *published = run_path(&f.run, MODEL_FILE_NAME), *file = run_model_path(&f.run, 2);
    assert_int_equal(store_check_published(&f.run, &err), ST_OK); /* there is none */
    assert_false(file_exists(published));
    save(&f, 2, 5.0f);
    note(&f.run, 2, 0.5, 1.0, 0);
    assert_int_equal(store_publish_best(&f.run, &err), ST_OK);
    assert_int_equal(file_read(published, &good, &length, &err), ST_OK);
    for (int known = 1; known >= 0; known--) { /* without a hash it is compared with the model's own file */
        if (known == 0)
            f.run.hashes[2].text[RUN_MODEL][0] = '\0';
        for (int how = 0; how < 3; how++) {
            if (how == 0)
                damage(published);
            else if (how == 1)
                assert_int_equal(truncate(published, 50), 0);
            else
                assert_int_equal(unlink(published), 0);
            assert_int_equal(store_check_published(&f.run, &err), ST_OK);
            assert_int_equal(file_read(published, &data, &found, &err), ST_OK);
            assert_int_equal(found, length);
            assert_memory_equal(data, good, length);
            free(data);
        }
    }
    /* A good one needs nothing else; a damaged one does, and is not replaced by one that is damaged too. */
    save(&f, 2, 5.0f);
    damage(file);
    assert_int_equal(store_check_published(&f.run, &err), ST_OK);
    assert_int_equal(truncate(published, 50), 0);
    assert_int_equal(store_check_published(&f.run, &err), ST_FORMAT);
    assert_int_equal(f.run.lost_id, 2);
    assert_int_equal(file_read(published, &data, &found, &err), ST_OK);
    assert_int_equal(found, 50);
    free(data);
    free(good);
    free(published);
    free(file);
    close_all(&f);
}

/* Model `id` gets the score id / 100, so that the last ones are parents. */
static void test_prune(void **state)
{
    struct fixture f;
    struct error err;
    struct candidate child = {.id = 20, .parent = 1}, itself = {.id = 2, .parent = -1};
    struct candidate *const coming[] = {&child, &itself};
    (void)state;
    open_all(&f);
    for (int32_t id = 0; id < PARENTS_AND_MORE; id++) {
        save(&f, id, 0.0f);
        const struct search_trial trial = {
            .id = id, .parent = -1, .start = -1, .graph = &f.graph, .recipe = recipe_usual()};
        assert_int_equal(search_observe(f.run.search, &trial, 0.01 * id, 1.0, &err), ST_OK);
    }
    save(&f, 30, 0.0f); /* of no model that the search knows: a final fit's */
    f.run.best_id = 0;
    store_prune(&f.run, coming, 2);
    const bool kept[PARENTS_AND_MORE] = {true, true, true, false};
    for (int32_t id = 0; id < PARENTS_AND_MORE; id++)
        assert_int_equal(has_file(&f.run, id), id >= PARENTS_AND_MORE - SEARCH_PARENTS || kept[id]);
    assert_true(has_file(&f.run, 30));
    store_prune(&f.run, coming, 1);
    assert_false(has_file(&f.run, 2));
    f.run.best_id = 30;
    store_prune(&f.run, NULL, 0);
    for (int32_t id = 0; id < PARENTS_AND_MORE; id++)
        assert_int_equal(has_file(&f.run, id), search_find(f.run.search, id)->is_parent);
    close_all(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),           cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_losses),          cmocka_unit_test(test_best),
        cmocka_unit_test(test_publish),         cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_published_again), cmocka_unit_test(test_prune),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
