/* Remaps against the host's remap_apply; kernels between the host's order and the masters'. */
#include "tests/gpu/kernel_check.h"

extern "C" {
#include "host/net/remap.h"
}

#include <cfloat>
#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <list>

extern "C" {
#include <cmocka.h>
}

enum { CASES = 40, SETTINGS = 1, VALUES };

/* The memory of a remap list: the host's form, and the device's beside it. */
struct remap_case {
    std::vector<weight_tensor> child_tensors, parent_tensors;
    weight_table child, parent;
    std::vector<remap> remaps;
    std::vector<cuda_remap> entries;
    std::list<device_memory> tables; /* indices and scales, which host and device read */
    uint64_t elements;

    explicit remap_case(const kernel_run &run);
    int32_t *draw_index(const kernel_run &run, uint32_t stream, int32_t count, int32_t limit);
    float *draw_scale(const kernel_run &run, uint32_t stream, int32_t count);
    void add(const kernel_run &run, int32_t k);
};

/* Indices from -1 (none) to limit - 1. */
int32_t *remap_case::draw_index(const kernel_run &run, uint32_t stream, int32_t count, int32_t limit)
{
    tables.emplace_back((size_t)count * sizeof(int32_t));
    int32_t *indices = static_cast<int32_t *>(tables.back().data);
    for (int32_t i = 0; i < count; i++)
        indices[i] = kernel_below(run, stream, (uint64_t)i, limit + 1) - 1;
    return indices;
}

float *remap_case::draw_scale(const kernel_run &run, uint32_t stream, int32_t count)
{
    tables.emplace_back((size_t)count * sizeof(float));
    float *scales = static_cast<float *>(tables.back().data);
    for (int32_t i = 0; i < count; i++)
        scales[i] = 0.75f + 0.5f * kernel_unit(run, stream, (uint64_t)i);
    return scales;
}

static size_t add_tensor(std::vector<weight_tensor> *tensors, weight_table *table, const int32_t *dims,
                         uint32_t id)
{
    weight_tensor t = {};
    t.layer_id = id;
    t.role = WEIGHT_KERNEL;
    t.offset = table->total;
    t.count = 1;
    for (int32_t d = 0; d < 4; d++) {
        t.dims[d] = dims[d];
        t.count *= (size_t)dims[d];
    }
    table->total += cuda_chunk_count(t.count) * CUDA_CHUNK;
    tensors->push_back(t);
    return t.offset;
}

void remap_case::add(const kernel_run &run, int32_t k)
{
    const uint32_t stream = 100 * (uint32_t)(k + 1);
    int32_t dims[4], source_dims[4];
    for (uint64_t d = 0; d < 4; d++) {
        source_dims[d] = 1 + kernel_below(run, stream, d, d < 2 ? 12 : 4);
        dims[d] = source_dims[d] + kernel_below(run, stream, 10 + d, d < 2 ? 6 : 3);
    }
    const int32_t flags = kernel_below(run, stream, 20, 64);
    remap r = {};
    cuda_remap e = {};
    r.child = k;
    r.source = flags & 1 || k == 0 ? k : -1;
    r.out_index = flags & 2 ? draw_index(run, stream + 1, dims[0], source_dims[0]) : NULL;
    r.in_index = flags & 4 ? draw_index(run, stream + 2, dims[1], source_dims[1]) : NULL;
    r.out_scale = flags & 8 ? draw_scale(run, stream + 3, dims[0]) : NULL;
    r.in_scale = flags & 16 ? draw_scale(run, stream + 4, dims[1]) : NULL;
    r.identity = flags & 32 ? draw_index(run, stream + 5, dims[0], dims[1]) : NULL;
    r.fill = 0.25f * (float)kernel_below(run, stream, 21, 3);
    r.noise = run.index % 2 ? 0.01f * (float)kernel_below(run, stream, 22, 3) : 0.0f;
    e.child = add_tensor(&child_tensors, &child, dims, 7u + (uint32_t)k);
    e.source = add_tensor(&parent_tensors, &parent, source_dims, 7u + (uint32_t)k);
    memcpy(e.dims, dims, sizeof(dims));
    memcpy(e.source_dims, source_dims, sizeof(source_dims));
    e.has_source = r.source >= 0;
    e.out_index = r.out_index, e.in_index = r.in_index, e.identity = r.identity;
    e.out_scale = r.out_scale, e.in_scale = r.in_scale;
    e.fill = r.fill, e.noise = r.noise;
    e.part = (7u + (uint32_t)k) * 8 + WEIGHT_KERNEL;
    e.first_element = elements;
    elements += child_tensors.back().count;
    remaps.push_back(r);
    entries.push_back(e);
}

remap_case::remap_case(const kernel_run &run) : child(), parent(), elements(0)
{
    const int32_t count = 1 + kernel_below(run, SETTINGS, 0, 5);
    for (int32_t k = 0; k < count; k++)
        add(run, k);
    child.count = parent.count = count;
    child.tensors = child_tensors.data();
    parent.tensors = parent_tensors.data();
}

/* From the host's order to the masters'. */
static void reorder(const weight_table &table, const float *plain, float *masters)
{
    for (int32_t k = 0; k < table.count; k++) {
        const weight_tensor &w = table.tensors[k];
        const size_t in = (size_t)w.dims[1], taps = (size_t)w.dims[2] * (size_t)w.dims[3];
        for (size_t i = 0; i < w.count; i++)
            masters[w.offset + cuda_master_offset(i, in, taps)] = plain[w.offset + i];
    }
}

/* Without noise bit for bit; with noise within the last place. */
static void check_remap(const kernel_run &run)
{
    remap_case t(run);
    const remap_list list = {(int32_t)t.remaps.size(), t.remaps.data()};
    vector plain_parent(t.parent.total), parent(t.parent.total);
    vector child(t.child.total), plain_expected(t.child.total), expected(t.child.total);
    device_memory table(t.entries.size() * sizeof(t.entries[0])),
        deviations(t.entries.size() * sizeof(double));
    memcpy(table.data, t.entries.data(), table.bytes);
    memset(child.data, 0, child.bytes);
    memset(expected.data, 0, expected.bytes);
    plain_parent.random(run, VALUES, 0.1, 1.0);
    reorder(t.parent, plain_parent.floats(), parent.floats());
    remap_apply(&list, &t.child, &t.parent, plain_parent.floats(), 77, plain_expected.floats());
    reorder(t.child, plain_expected.floats(), expected.floats());
    cuda_inheritance inheritance = {};
    inheritance.count = list.count;
    inheritance.entries = static_cast<const cuda_remap *>(table.data);
    inheritance.elements = t.elements;
    inheritance.seed = 77;
    inheritance.parent = parent.floats();
    inheritance.deviations = static_cast<double *>(deviations.data);
    inheritance.child = child.floats();
    kernel_launched(run, cuda_launch_remap(NULL, &inheritance), "remap");
    const double tolerance = run.index % 2 ? (double)FLT_EPSILON : 0.0;
    for (size_t i = 0; i < t.child.total; i++)
        kernel_close(run, (double)child[i], (double)expected[i], tolerance * std::fabs((double)expected[i]),
                     "child", i);
}

static void test_remap(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_remap);
}

/* Pieces of a kernel between the orders; what lies around them stays as it is. */
static void check_orders(const kernel_run &run)
{
    const int32_t out = 1 + kernel_below(run, SETTINGS, 30, 5), in = 1 + kernel_below(run, SETTINGS, 31, 12),
                  taps = 1 + kernel_below(run, SETTINGS, 32, 10), count = out * in * taps;
    const int32_t first = kernel_below(run, SETTINGS, 33, count),
                  piece = 1 + kernel_below(run, SETTINGS, 34, count - first);
    vector master((size_t)count), plain((size_t)piece), back((size_t)count);
    master.random(run, VALUES, 0.0, 1.0);
    for (int32_t i = 0; i < count; i++)
        back[(size_t)i] = 7.0f;
    kernel_launched(run,
                    cuda_launch_from_master(NULL, in, taps, (size_t)first, (size_t)piece, master.floats(),
                                            plain.floats()),
                    "from masters");
    kernel_launched(
        run,
        cuda_launch_to_master(NULL, in, taps, (size_t)first, (size_t)piece, plain.floats(), back.floats()),
        "to masters");
    for (int32_t o = 0; o < out; o++)
        for (int32_t i = 0; i < in; i++)
            for (int32_t tap = 0; tap < taps; tap++) {
                const int32_t at = (o * in + i) * taps + tap;
                const size_t offset = (size_t)((o * taps + tap) * in + i);
                const bool moved = at >= first && at < first + piece;
                if (moved)
                    kernel_close(run, (double)plain[(size_t)(at - first)], (double)master[offset], 0.0,
                                 "plain", (size_t)at);
                kernel_close(run, (double)back[offset], moved ? (double)master[offset] : 7.0, 0.0, "master",
                             offset);
            }
}

static void test_orders(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_orders);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remap),
        cmocka_unit_test(test_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
