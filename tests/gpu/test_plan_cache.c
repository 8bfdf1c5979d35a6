/* The planner's choices on disk: kept, found again, and believed only when nothing is wrong with them. */
#include "host/base/file.h"
#include "tests/gpu/plan_shapes.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct cache {
    char folder[64], file[192];
    struct conv_geometry geometry;
};

static bool is_kind_cached(struct cache *cache, struct conv_options options, enum conv_kind kind)
{
    size_t workspace;
    options.cache_folder = cache->folder;
    struct conv_planner *planner = plan_open(&plan_profiles[PLAN_H100], &options);
    struct conv_plan_info info = plan_for(planner, kind, &cache->geometry, &workspace);
    conv_planner_close(planner);
    return info.cached;
}

static bool is_cached(struct cache *cache, struct conv_options options)
{
    return is_kind_cached(cache, options, CONV_FORWARD);
}

/* The only plan there, by the system's own listing. */
static void find_file(struct cache *cache)
{
    char command[128];
    snprintf(command, sizeof(command), "ls -A %s | grep -v '^turns$'", cache->folder);
    FILE *listing = popen(command, "r");
    char name[64], second[64];
    assert_non_null(listing);
    assert_int_equal(fscanf(listing, "%63s", name), 1);
    assert_int_not_equal(fscanf(listing, "%63s", second), 1);
    pclose(listing);
    snprintf(cache->file, sizeof(cache->file), "%s/%s", cache->folder, name);
}

static void cache_open(struct cache *cache, struct conv_geometry geometry)
{
    *cache = (struct cache){.folder = "/tmp/nasrun-plans-XXXXXX", .geometry = geometry};
    assert_non_null(mkdtemp(cache->folder));
    assert_false(is_cached(cache, plan_options(CUDA_BF16)));
    find_file(cache);
}

static void cache_close(struct cache *cache)
{
    char command[192];
    snprintf(command, sizeof(command), "rm -f %s/*.plan %s/turns", cache->folder, cache->folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(rmdir(cache->folder), 0); /* nothing else was left there */
}

static void overwrite(const char *path, const char *data, size_t length)
{
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
}

static void test_choices_are_kept(void **state)
{
    (void)state;
    struct cache cache;
    struct stat about;
    size_t workspace[2];
    cache_open(&cache, plan_square(8, 16, 8, 16, 3, 1));
    assert_int_equal(stat(cache.file, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_true(is_cached(&cache, plan_options(CUDA_BF16)));

    struct conv_options options = plan_options(CUDA_BF16);
    struct conv_plan_info info[2];
    for (int cached = 0; cached < 2; cached++) {
        options.cache_folder = cached ? cache.folder : NULL;
        struct conv_planner *planner = plan_open(&plan_profiles[PLAN_H100], &options);
        info[cached] = plan_for(planner, CONV_FORWARD, &cache.geometry, &workspace[cached]);
        conv_planner_close(planner);
    }
    assert_int_equal(info[0].engine, info[1].engine);
    assert_int_equal(info[0].tensor_core, info[1].tensor_core);
    assert_int_equal(info[0].compiled, info[1].compiled);
    assert_int_equal(workspace[0], workspace[1]);
    cache_close(&cache);
}

static void test_other_settings_are_other_choices(void **state)
{
    (void)state;
    struct cache cache;
    cache_open(&cache, plan_square(8, 16, 8, 16, 3, 1));
    struct conv_options changed = plan_options(CUDA_BF16);
    changed.deterministic = false;
    assert_false(is_cached(&cache, changed));
    assert_true(is_cached(&cache, plan_options(CUDA_BF16)));
    for (enum conv_kind kind = CONV_BIAS; kind < CONV_KIND_COUNT; kind++) {
        assert_false(is_kind_cached(&cache, plan_options(CUDA_BF16), kind));
        assert_true(is_kind_cached(&cache, plan_options(CUDA_BF16), kind));
    }
    cache_close(&cache);
}

/* ---- equal devices ---- */

enum { EQUALS = 4, SHAPES = 12 };

/* An H100 in that position of the machine. */
static struct conv_planner *open_equal(const struct cache *cache, int32_t position)
{
    struct conv_options options = plan_options(CUDA_BF16);
    struct conv_planner *planner;
    struct error err;
    char *text, moved[4096];
    size_t length;
    options.cache_folder = cache->folder;
    assert_int_equal(file_read(plan_profiles[PLAN_H100].file, &text, &length, &err), ST_OK);
    text[strcspn(text, "\n")] = '\0';
    char *pci = strstr(text, "\"pciDeviceId\":0,"), *cuda = strstr(text, "\"cudaDeviceId\":0,");
    assert_true(pci != NULL && cuda > pci);
    *pci = *cuda = '\0';
    snprintf(moved, sizeof(moved), "%s\"pciDeviceId\":%d,%s\"cudaDeviceId\":%d,%s", text, (int)position * 64,
             strchr(pci + 1, ',') + 1, (int)position, strchr(cuda + 1, ',') + 1);
    if (conv_planner_open_described(moved, &options, &planner, &err) != ST_OK)
        fail_msg("%s", err.message);
    free(text);
    return planner;
}

static void test_equal_devices_share_choices(void **state)
{
    (void)state;
    struct cache cache;
    size_t workspace;
    cache_open(&cache, plan_square(8, 16, 8, 16, 3, 16)); /* of which the code is kept, too */
    for (int32_t position = 0; position < 3; position++) {
        struct conv_planner *planner = open_equal(&cache, position);
        assert_true(plan_for(planner, CONV_FORWARD, &cache.geometry, &workspace).cached);
        conv_planner_close(planner);
    }
    cache_close(&cache);
}

struct equal {
    struct conv_planner *planner;
    pthread_barrier_t *start;
    pthread_t thread;
    struct conv_plan_info info[SHAPES];
};

static void *plan_beside_equals(void *context)
{
    struct equal *equal = context;
    pthread_barrier_wait(equal->start);
    for (int32_t i = 0; i < SHAPES; i++) {
        const struct conv_geometry geometry = plan_square(8, 16, 8, 16 + 8 * i, 3, 1);
        const struct conv_plan *plan;
        struct error err;
        if (conv_planner_plan(equal->planner, CONV_FORWARD, &geometry, &plan, &err) != ST_OK)
            return NULL;
        equal->info[i] = conv_plan_describe(plan);
    }
    return equal;
}

/* Each shape is chosen once, by whoever comes first, while the others wait for it. */
static void test_equal_devices_take_turns(void **state)
{
    (void)state;
    struct cache cache;
    struct equal equals[EQUALS];
    pthread_barrier_t start;
    cache_open(&cache, plan_square(8, 16, 8, 16, 1, 1)); /* none of the shapes below */
    assert_int_equal(pthread_barrier_init(&start, NULL, EQUALS), 0);
    for (int32_t i = 0; i < EQUALS; i++) {
        equals[i].planner = open_equal(&cache, i);
        equals[i].start = &start;
    }
    for (int32_t i = 0; i < EQUALS; i++)
        assert_int_equal(pthread_create(&equals[i].thread, NULL, plan_beside_equals, &equals[i]), 0);
    for (int32_t i = 0; i < EQUALS; i++) {
        void *done;
        assert_int_equal(pthread_join(equals[i].thread, &done), 0);
        assert_non_null(done);
        conv_planner_close(equals[i].planner);
    }
    for (int32_t shape = 0; shape < SHAPES; shape++) {
        int32_t chosen = 0;
        for (int32_t i = 0; i < EQUALS; i++) {
            chosen += !equals[i].info[shape].cached;
            assert_int_equal(equals[i].info[shape].engine, equals[0].info[shape].engine);
        }
        assert_int_equal(chosen, 1);
    }
    pthread_barrier_destroy(&start);
    cache_close(&cache);
}

/* ---- what is wrong with a file ---- */

/* What follows the last `mark`; fails where there is none. */
static char *find_last(char *data, size_t length, const char *mark)
{
    size_t size = strlen(mark);
    for (char *position = data + length - size; position >= data; position--)
        if (memcmp(position, mark, size) == 0)
            return position + size;
    fail_msg("no \"%s\" in a cached plan", mark);
    return NULL;
}

static void test_damaged_files_are_not_believed(void **state)
{
    (void)state;
    struct cache cache;
    struct error err = {0};
    char *data;
    size_t length;
    cache_open(&cache, plan_square(8, 16, 8, 16, 3, 1));
    if (file_read(cache.file, &data, &length, &err) != ST_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < 60; i++) { /* bits all over the file, its head too */
        size_t position = i < 20 ? i : i * (length - 1) / 59;
        data[position] ^= (char)(1 << i % 8);
        overwrite(cache.file, data, length);
        if (is_cached(&cache, plan_options(CUDA_BF16)))
            fail_msg("a file with a bit flipped in byte %zu of %zu was believed", position, length);
        data[position] ^= (char)(1 << i % 8);
    }
    find_last(data, length, "\nengine ")[0] ^= 1; /* another digit: nothing but the checksum can tell */
    overwrite(cache.file, data, length);
    assert_false(is_cached(&cache, plan_options(CUDA_BF16)));
    find_last(data, length, "\nengine ")[0] ^= 1;
    static const size_t cuts[] = {0, 1, 13, 40};
    for (size_t i = 0; i < 4 + 2; i++) {
        overwrite(cache.file, data, i < 4 ? cuts[i] : i == 4 ? length / 2 : length - 1);
        assert_false(is_cached(&cache, plan_options(CUDA_BF16)));
    }
    /* Each refusal wrote a good file in the place of the bad one. */
    assert_true(is_cached(&cache, plan_options(CUDA_BF16)));
    overwrite(cache.file, data, length);
    assert_true(is_cached(&cache, plan_options(CUDA_BF16)));
    free(data);
    cache_close(&cache);
}

/* cuDNN itself accepts a plan with a bit flipped inside its code, which a depthwise convolution's file holds.
 */
static void test_altered_code_is_not_believed(void **state)
{
    (void)state;
    struct cache cache;
    struct error err = {0};
    char *data;
    size_t length;
    cache_open(&cache, plan_square(8, 16, 8, 16, 3, 16));
    assert_true(is_cached(&cache, plan_options(CUDA_BF16)));
    if (file_read(cache.file, &data, &length, &err) != ST_OK)
        fail_msg("%s", err.message);
    char *code = find_last(data, length, "\"cubin\":\"");
    assert_true(code + 20000 < data + length);
    code[10000] = code[10000] == 'A' ? 'B' : 'A';
    overwrite(cache.file, data, length);
    assert_false(is_cached(&cache, plan_options(CUDA_BF16)));
    free(data);
    cache_close(&cache);
}

static void test_files_open_to_others_are_not_believed(void **state)
{
    (void)state;
    struct cache cache;
    char moved[256];
    cache_open(&cache, plan_square(8, 16, 8, 16, 3, 1));
    assert_int_equal(chmod(cache.file, 0640), 0);
    assert_false(is_cached(&cache, plan_options(CUDA_BF16)));
    assert_true(is_cached(&cache, plan_options(CUDA_BF16)));

    snprintf(moved, sizeof(moved), "%s.moved", cache.file);
    assert_int_equal(rename(cache.file, moved), 0);
    assert_int_equal(symlink(moved, cache.file), 0);
    assert_false(is_cached(&cache, plan_options(CUDA_BF16)));
    unlink(moved);
    cache_close(&cache);
}

/* A folder that others write to, one at the end of a link, another's. */
static void test_a_folder_open_to_others_is_not_taken(void **state)
{
    (void)state;
    struct cache cache;
    char moved[128];
    cache_open(&cache, plan_square(8, 16, 8, 16, 3, 1));
    for (mode_t mode = 0720; mode >= 0702; mode = mode == 0720 ? 0702 : 0) {
        assert_int_equal(chmod(cache.folder, mode), 0);
        assert_false(is_cached(&cache, plan_options(CUDA_BF16)));
    }
    assert_int_equal(chmod(cache.folder, 0755), 0);
    assert_true(is_cached(&cache, plan_options(CUDA_BF16)));

    snprintf(moved, sizeof(moved), "%s.moved", cache.folder);
    assert_int_equal(rename(cache.folder, moved), 0);
    assert_int_equal(symlink(moved, cache.folder), 0);
    assert_false(is_cached(&cache, plan_options(CUDA_BF16)));
    assert_int_equal(unlink(cache.folder), 0);
    assert_int_equal(rename(moved, cache.folder), 0);
    assert_true(is_cached(&cache, plan_options(CUDA_BF16)));
    if (geteuid() == 0) { /* who alone can give a folder away */
        assert_int_equal(chown(cache.folder, 65534, 65534), 0);
        assert_false(is_cached(&cache, plan_options(CUDA_BF16)));
        assert_int_equal(chown(cache.folder, 0, 0), 0);
    }
    cache_close(&cache);
}

static void test_a_folder_that_cannot_be_is_no_error(void **state)
{
    (void)state;
    struct conv_options options = plan_options(CUDA_BF16);
    options.cache_folder = "/proc/nasrun/plans";
    struct conv_planner *planner = plan_open(&plan_profiles[PLAN_H100], &options);
    const struct conv_geometry geometry = plan_square(8, 16, 8, 16, 3, 1);
    size_t workspace;
    assert_false(plan_for(planner, CONV_FORWARD, &geometry, &workspace).cached);
    conv_planner_close(planner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choices_are_kept),
        cmocka_unit_test(test_other_settings_are_other_choices),
        cmocka_unit_test(test_equal_devices_share_choices),
        cmocka_unit_test(test_equal_devices_take_turns),
        cmocka_unit_test(test_damaged_files_are_not_believed),
        cmocka_unit_test(test_altered_code_is_not_believed),
        cmocka_unit_test(test_files_open_to_others_are_not_believed),
        cmocka_unit_test(test_a_folder_open_to_others_is_not_taken),
        cmocka_unit_test(test_a_folder_that_cannot_be_is_no_error),
    };
    return cmocka_run_group_tests(tests, plan_load_driver, NULL);
}
