/* What control groups leave of the machine, on made-up trees of /proc and /sys: both versions, jobs below jobs,
 * containers with and without a name space of their own, and no /proc at all. */
#include "host/base/file.h"
#include "host/base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const size_t MB = 1 << 20;

static int make_root(void **state)
{
    char root[] = "/tmp/nasrun-limits-XXXXXX";
    *state = mkdtemp(root) != NULL ? strdup(root) : NULL;
    return *state == NULL;
}

static int remove_root(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", (char *)*state);
    free(*state);
    return system(command);
}

/* A file of the tree and the folders above it. */
static void put(const char *root, const char *path, const char *text)
{
    struct error err;
    char whole[512];
    snprintf(whole, sizeof(whole), "%s%s", root, path);
    FILE *file = NULL;
    *strrchr(whole, '/') = '\0';
    assert_int_equal(file_make_folder(whole, &err), ST_OK);
    whole[strlen(whole)] = '/';
    file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void check_memory(const char *root, size_t total, size_t free_bytes)
{
    size_t found_total, found_free;
    limits_memory(root, &found_total, &found_free);
    assert_int_equal(found_total, total);
    assert_int_equal(found_free, free_bytes);
}

static size_t machine(void)
{
    return (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
}

static const char UNIFIED[] = "24 1 8:1 / / rw - ext4 /dev/root rw\n"
                              "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";

/* A batch system's step below its job. Files' pages that nobody uses are as good as free. */
static void test_unified(void **state)
{
    const char *root = *state;
    put(root, "/proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    921600 kB\n");
    put(root, "/proc/self/mountinfo", UNIFIED);
    check_memory(root, machine(), 900 * MB); /* no group is known */
    assert_int_equal(limits_cpus(root), 0);
    put(root, "/proc/self/cgroup", "0::/slurm/job_7/step_0\n");
    put(root, "/sys/fs/cgroup/slurm/job_7/step_0/memory.max", "max\n");
    put(root, "/sys/fs/cgroup/slurm/job_7/step_0/cpu.max", "max 100000\n");
    check_memory(root, machine(), 900 * MB);
    assert_int_equal(limits_cpus(root), 0);
    put(root, "/sys/fs/cgroup/slurm/job_7/memory.max", "536870912\n");
    put(root, "/sys/fs/cgroup/slurm/job_7/cpu.max", "150000 100000\n");
    check_memory(root, 512 * MB, 512 * MB);
    assert_int_equal(limits_cpus(root), 2);
    put(root, "/sys/fs/cgroup/slurm/job_7/memory.current", "314572800\n");
    check_memory(root, 512 * MB, 212 * MB);
    put(root, "/sys/fs/cgroup/slurm/job_7/memory.stat", "anon 1\nfile 2\ninactive_file 104857600\n");
    check_memory(root, 512 * MB, 312 * MB);
    /* A larger group may be fuller, for others are in it, too; a smaller one counts before the job's. */
    put(root, "/sys/fs/cgroup/slurm/memory.max", "1073741824\n");
    put(root, "/sys/fs/cgroup/slurm/memory.current", "1063256064\n");
    check_memory(root, 512 * MB, 10 * MB);
    put(root, "/sys/fs/cgroup/slurm/job_7/step_0/memory.high", "209715200\n");
    put(root, "/sys/fs/cgroup/slurm/job_7/step_0/memory.current", "209715200\n");
    put(root, "/sys/fs/cgroup/slurm/job_7/step_0/cpu.max", "50000 100000\n");
    check_memory(root, 200 * MB, 0); /* it is known to be full */
    assert_int_equal(limits_cpus(root), 1);
}

static void test_first_version(void **state)
{
    const char *root = *state;
    put(root, "/proc/meminfo", "MemAvailable: 921600 kB\n");
    put(root, "/proc/self/mountinfo",
        "31 24 0:27 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 24 0:28 / /cg/cpuset rw - cgroup cgroup rw,cpuset\n"
        "33 24 0:29 / /cg/memory rw - cgroup cgroup rw,memory\n"
        "34 24 0:30 / /cg/unified rw - cgroup2 cgroup2 rw\n");
    put(root, "/proc/self/cgroup",
        "4:memory:/slurm/uid_0/job_3\n3:cpuset:/other\n2:cpu,cpuacct:/slurm/uid_0\n0::/\n");
    put(root, "/cg/memory/slurm/uid_0/job_3/memory.limit_in_bytes", "9223372036854771712\n");
    put(root, "/cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put(root, "/cg/cpu,cpuacct/slurm/uid_0/cpu.cfs_quota_us", "-1\n");
    put(root, "/cg/cpu,cpuacct/slurm/uid_0/cpu.cfs_period_us", "100000\n");
    check_memory(root, machine(), 900 * MB);
    assert_int_equal(limits_cpus(root), 0);
    put(root, "/cg/memory/slurm/uid_0/job_3/memory.limit_in_bytes", "104857600\n");
    put(root, "/cg/memory/slurm/uid_0/job_3/memory.usage_in_bytes", "62914560\n");
    put(root, "/cg/memory/slurm/uid_0/job_3/memory.stat", "inactive_file 1\ntotal_inactive_file 10485760\n");
    put(root, "/cg/cpu,cpuacct/slurm/uid_0/cpu.cfs_quota_us", "300000\n");
    check_memory(root, 100 * MB, 50 * MB);
    assert_int_equal(limits_cpus(root), 3);
}

/* A container without a name space for groups names the one that it sees as the root by its name outside; one with such
 * a name space, and an outsider in it, have names that lead nowhere. */
static void test_containers(void **state)
{
    static const char *const names[] = {"0::/docker/abc\n", "0::/\n", "0::/../other\n", "0::/elsewhere\n"};
    const char *root = *state;
    put(root, "/proc/meminfo", "MemAvailable: 921600 kB\n");
    put(root, "/sys/fs/cgroup/memory.max", "104857600\n");
    put(root, "/sys/fs/cgroup/cpu.max", "200000 100000\n");
    for (int i = 0; i < 4; i++) {
        put(root, "/proc/self/cgroup", names[i]);
        put(root, "/proc/self/mountinfo",
            i == 1 ? UNIFIED : "30 24 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        check_memory(root, 100 * MB, 100 * MB);
        assert_int_equal(limits_cpus(root), 2);
    }
}

/* Lines of a shape that nobody knows are passed over, wherever they stand; so are numbers that are none. */
static void test_odd_lines(void **state)
{
    static const struct {
        const char *group, *mounts, *quota;
        int32_t cpus;
    } cases[] = {
        {"no colon\n1:one\n2:cpu:/a\n",
         "no dash\n1 - cgroup\n - cgroup c cpu\n3 2 0:3 / /c - cgroup c rw,cpu\n", "300000", 3},
        {"2:cpu:/a\n", "3 2 0:3 / /c - cgroup c rw,cpu", "300000", 3},        /* without an end of the line */
        {"2:cpuset:/a\n", "3 2 0:3 / /c - cgroup c rw,cpu\n", "300000", 0},   /* another controller */
        {"2:mycpu:/a\n", "3 2 0:3 / /c - cgroup c rw,cpu\n", "300000", 0},    /* whose name ends like it */
        {"2:cpu,x:/a\n", "3 2 0:3 / /c - cgroup c rw,cpuset\n", "300000", 0}, /* not mounted */
        {"2:cpu:/a\n", "3 2 0:3 / /c - tmpfs c rw,cpu\n", "300000", 0},
        {"2:cpu:/a\n", "3 2 0:3 / /c - cgroup c rw,cpu\n", "none", 0},
        {"2:cpu:/a\n", "3 2 0:3 / /c - cgroup c rw,cpu\n", "0", 0},
        {"2:cpu:/a/no/such\n", "3 2 0:3 / /c - cgroup c rw,cpu\n", "300000", 3}, /* those above count */
        {"2:cpu:/b\n", "3 2 0:3 / /c - cgroup c rw,cpu\n", "300000", 0},         /* has no period */
        {"2:cpu:/c\n", "3 2 0:3 / /c - cgroup c rw,cpu\n", "300000", 0},         /* a period of 0 */
        {"2:cpu:/a\n", "", "300000", 0},
        {"", "3 2 0:3 / /c - cgroup c rw,cpu\n", "300000", 0},
    };
    const char *root = *state;
    put(root, "/c/a/cpu.cfs_period_us", "100000\n");
    put(root, "/c/b/cpu.cfs_quota_us", "300000\n");
    put(root, "/c/c/cpu.cfs_quota_us", "300000\n");
    put(root, "/c/c/cpu.cfs_period_us", "0\n");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put(root, "/proc/self/cgroup", cases[i].group);
        put(root, "/proc/self/mountinfo", cases[i].mounts);
        put(root, "/c/a/cpu.cfs_quota_us", cases[i].quota);
        if (limits_cpus(root) != cases[i].cpus)
            fail_msg("case %zu: %d CPUs, expected %d", i, (int)limits_cpus(root), (int)cases[i].cpus);
    }
}

/* Folders whose names do not fit into a path have no limits. */
static void test_long_names(void **state)
{
    static char name[4091], line[8000], root[5000];
    static const int lengths[] = {3000, 4090}; // both together are too long; one with the root
    const char *folder = *state;
    memset(name, 'x', sizeof(name) - 1);
    put(folder, "/proc/meminfo", "MemAvailable: 921600 kB\n");
    for (int i = 0; i < 2; i++) {
        snprintf(line, sizeof(line), "0::/%.3000s\n", name);
        put(folder, "/proc/self/cgroup", line);
        snprintf(line, sizeof(line), "30 24 0:26 / /%.*s rw - cgroup2 cgroup2 rw\n", lengths[i], name);
        put(folder, "/proc/self/mountinfo", line);
        check_memory(folder, machine(), 900 * MB);
        assert_int_equal(limits_cpus(folder), 0);
    }
    memset(root, 'x', sizeof(root) - 1);
    assert_int_equal(limits_cpus(root), 0);
}

static void test_nothing_known(void **state)
{
    size_t total, free_bytes;
    limits_memory(*state, &total, &free_bytes);
    assert_int_equal(total, machine());
    assert_true(free_bytes >= total / 2 && free_bytes <= total);
    assert_int_equal(limits_cpus(*state), 0);
}

/* The machine's own. */
static void test_here(void **state)
{
    size_t total, free_bytes;
    (void)state;
    limits_memory("", &total, &free_bytes);
    assert_true(total > 0 && total <= machine());
    assert_true(free_bytes > 0 && free_bytes <= total);
    assert_true(limits_cpus("") >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unified, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_first_version, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_containers, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_odd_lines, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_long_names, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_nothing_known, make_root, remove_root),
        cmocka_unit_test(test_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
