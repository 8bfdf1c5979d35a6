/* Energy: what GPUs count, what RAPL's counters tell though they begin again from 0, and that what can't be read is
 * unknown. On devices that only count, and a folder like Linux's. */
#include "host/machine/energy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct device {
    double joules; /* NAN: can't be read */
};

static double count(struct device *device)
{
    return device->joules;
}

static const struct device_ops counting = {.kind = "cuda", .energy = count}, silent = {.kind = "cuda"},
                               host = {.kind = "cpu", .on_host = true};

/* ---- GPUs ---- */

static void test_gpus(void **state)
{
    struct device gpus[] = {{1000.0}, {50.0}};
    struct devices devices = {
        .ops = &counting, .count = 2, .workers = 2, .items = {{.device = &gpus[0]}, {.device = &gpus[1]}}};
    struct energy_meter *meter = energy_open(&devices, "/nowhere");
    (void)state;
    assert_non_null(meter);
    assert_string_equal(energy_source(meter), "GPUs");
    assert_true(energy_joules(meter) == 0.0);
    gpus[0].joules += 2.5;
    gpus[1].joules += 40.0;
    assert_true(energy_joules(meter) == 42.5);
    gpus[1].joules = NAN;
    assert_true(isnan(energy_joules(meter)));
    energy_close(meter);
    assert_null(energy_open(&devices, "/nowhere"));
    devices.ops = &silent;
    assert_null(energy_open(&devices, "/nowhere"));
    assert_true(isnan(energy_joules(NULL)));
    assert_null(energy_source(NULL));
    energy_close(NULL);
}

/* ---- RAPL ---- */

static char folder[] = "/tmp/nasrun-energy-XXXXXX";

static void write_file(const char *domain, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, domain);
    mkdir(path, 0777);
    snprintf(path, sizeof(path), "%s/%s/%s", folder, domain, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s\n", text);
    assert_int_equal(fclose(file), 0);
}

static void make_domain(const char *domain, const char *name, const char *microjoules)
{
    write_file(domain, "name", name);
    write_file(domain, "energy_uj", microjoules);
    write_file(domain, "max_energy_range_uj", "262143328850");
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

/* Two processors, one of which begins again; their parts, and all of the machine, are in them already. */
static void test_rapl(void **state)
{
    const struct devices devices = {.ops = &host, .count = 1, .workers = 1};
    (void)state;
    assert_null(energy_open(&devices, "/nowhere"));
    assert_null(energy_open(&devices, folder));
    make_domain("intel-rapl:0", "package-0", "262143000000");
    make_domain("intel-rapl:0:0", "dram", "5");
    make_domain("intel-rapl:1", "package-1", "1000000");
    make_domain("intel-rapl:2", "psys", "7");
    make_domain("intel-rapl-mmio:0", "package-0", "262143000000");
    struct energy_meter *meter = energy_open(&devices, folder);
    assert_non_null(meter);
    assert_string_equal(energy_source(meter), "RAPL");
    assert_true(energy_joules(meter) == 0.0);
    write_file("intel-rapl:1", "energy_uj", "31000000");
    assert_true(fabs(energy_joules(meter) - 30.0) < 1e-9);
    write_file("intel-rapl:0", "energy_uj", "1000000");
    write_file("intel-rapl:0:0", "energy_uj", "500000000");
    write_file("intel-rapl:2", "energy_uj", "500000000");
    assert_true(fabs(energy_joules(meter) - 31.32885) < 1e-9);
    write_file("intel-rapl:0", "energy_uj", "");
    assert_true(isnan(energy_joules(meter)));
    write_file("intel-rapl:0", "energy_uj", "2000000");
    assert_true(isnan(energy_joules(meter))); /* what was between is not known */
    energy_close(meter);
    write_file("intel-rapl:1", "energy_uj", "none");
    assert_null(energy_open(&devices, folder)); /* a part is not the whole */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gpus), cmocka_unit_test(test_rapl)};
    return cmocka_run_group_tests_name("energy", tests, make_folder, remove_folder);
}
