/* Working copies of kernels, with batch norms folded into them, and their gradients against plain loops; remaps against
 * the host's remap_apply.
 */
#include "tests/gpu/kernel_check.h"

#include "cuda/half.h"

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

enum { CASES = 40, SETTINGS = 1, VALUES, SOURCES };

static const float EPSILON = 1e-3f;

/* ---- copies ---- */

static size_t take_vector(int32_t count, size_t *total)
{
    const size_t place = *total;
    *total += cuda_chunk_count((size_t)count) * CUDA_CHUNK;
    return place;
}

/* A batch norm behind every other kernel, a bias between them behind some. */
static void draw_norm(const kernel_run &run, uint64_t at, cuda_kernel_copy *e, size_t *total)
{
    e->folded = kernel_below(run, SETTINGS, at + 5, 2);
    e->bias = CUDA_NO_BIAS;
    if (!e->folded)
        return;
    e->scale = take_vector(e->out, total);
    e->shift = take_vector(e->out, total);
    e->mean = take_vector(e->out, total);
    e->var = take_vector(e->out, total);
    if (kernel_below(run, SETTINGS, at + 6, 2))
        e->bias = take_vector(e->out, total);
}

/* A few kernels: plain, grouped, grouped as a plain convolution, dense. */
static std::vector<cuda_kernel_copy> draw_entries(const kernel_run &run, uint64_t *pairs, uint64_t *rows,
                                                  size_t *total, size_t *copied, size_t *gradient_bytes)
{
    std::vector<cuda_kernel_copy> entries;
    const int32_t count = 1 + kernel_below(run, SETTINGS, 0, 6);
    *pairs = *rows = 0;
    *total = *copied = *gradient_bytes = 0;
    for (int32_t k = 0; k < count; k++) {
        const uint64_t at = 10 * (uint64_t)(k + 1);
        cuda_kernel_copy e = {};
        e.out = 1 + kernel_below(run, SETTINGS, at, 20);
        e.in = 1 + kernel_below(run, SETTINGS, at + 1, 20);
        e.height = 1 + kernel_below(run, SETTINGS, at + 2, 4);
        e.width = 1 + kernel_below(run, SETTINGS, at + 3, 4);
        e.blocks = 1;
        if (k % 3 == 2) {
            e.blocks = 1 + kernel_below(run, SETTINGS, at + 4, 4);
            e.out = e.blocks * (1 + e.out % 4);
        }
        e.rows = cuda_padded(e.out);
        e.depth =
            k % 3 == 1 ? e.in : cuda_padded(e.in * e.blocks); /* a grouped convolution keeps its depth */
        e.master = *total;
        e.copy = *copied;
        e.first_pair = *pairs;
        e.wide = kernel_below(run, SETTINGS, at + 7, 2); /* its gradient is float32 */
        e.gradient = *gradient_bytes;
        *gradient_bytes +=
            (cuda_kernel_copy_count(&e) * (e.wide ? 4 : cuda_type_size(run.type)) + 15) / 16 * 16;
        e.first_row = *rows;
        *total += cuda_chunk_count((size_t)e.out * (size_t)e.in * (size_t)(e.height * e.width)) * CUDA_CHUNK;
        *copied += (cuda_kernel_copy_count(&e) + 7) / 8 * 8;
        *pairs += (uint64_t)e.rows * (uint64_t)e.depth;
        *rows += (uint64_t)e.rows;
        draw_norm(run, at, &e, total);
        entries.push_back(e);
    }
    return entries;
}

/* The gradient of element `place` of the entry, drawn into `sources` as float32 or rounded to the type. */
static double draw_gradient(const kernel_run &run, const cuda_kernel_copy &e, size_t place,
                            device_memory *sources)
{
    char *at = static_cast<char *>(sources->data) + e.gradient;
    const float value = kernel_unit(run, SOURCES, e.gradient + place);
    if (e.wide || run.type == CUDA_FLOAT) {
        memcpy(at + place * sizeof value, &value, sizeof value);
        return (double)value;
    }
    const uint16_t bits = run.type == CUDA_BF16 ? half_to_bf16(value) : half_to_fp16(value);
    memcpy(at + place * sizeof bits, &bits, sizeof bits);
    return (double)(run.type == CUDA_BF16 ? half_from_bf16(bits) : half_from_fp16(bits));
}

/* What the kernels are to be multiplied by, in float as they do it. */
static float factor_of(const cuda_kernel_copy &e, vector &values, int32_t row)
{
    return values[e.scale + (size_t)row] / sqrtf(values[e.var + (size_t)row] + EPSILON);
}

static void check_biases(const kernel_run &run, const std::vector<cuda_kernel_copy> &entries,
                         const cuda_kernel_copy *on_device, uint64_t rows, vector &values)
{
    activation biases(run.type, cuda_shape{1, (int32_t)rows, 1, 1}), rounded(run.type, biases.shape);
    kernel_launched(run,
                    cuda_launch_folded_biases(NULL, run.type, (int32_t)entries.size(), on_device, rows,
                                              values.floats(), EPSILON, biases.data),
                    "biases");
    for (const cuda_kernel_copy &e : entries)
        for (int32_t row = 0; row < e.rows; row++) {
            const size_t place = e.first_row + (size_t)row;
            double bias = 0;
            if (e.folded && row < e.out) {
                const float factor = factor_of(e, values, row);
                float sum = values[e.shift + (size_t)row] - values[e.mean + (size_t)row] * factor;
                if (e.bias != CUDA_NO_BIAS)
                    sum += values[e.bias + (size_t)row] * factor;
                bias = (double)sum;
            }
            rounded.set(place, bias);
            kernel_close(run, biases.at(place), rounded.at(place), 0.0, "bias", place);
        }
}

static void check_copies(const kernel_run &run)
{
    uint64_t pairs, rows;
    size_t total, copied, gradient_bytes;
    const int32_t fold = kernel_below(run, SETTINGS, 1, 3) > 0;
    const std::vector<cuda_kernel_copy> entries =
        draw_entries(run, &pairs, &rows, &total, &copied, &gradient_bytes);
    device_memory table(entries.size() * sizeof entries[0]);
    memcpy(table.data, entries.data(), table.bytes);
    const cuda_kernel_copy *on_device = static_cast<const cuda_kernel_copy *>(table.data);
    vector values(total), gradients(total);
    values.random(run, VALUES, 0.0, 1.0);
    for (const cuda_kernel_copy &e : entries)
        for (int32_t row = 0; e.folded && row < e.out; row++)
            values[e.var + (size_t)row] = 0.01f + std::fabs(values[e.var + (size_t)row]);
    memset(gradients.data, 0, gradients.bytes);
    activation copies(run.type, cuda_shape{1, (int32_t)copied, 1, 1}), rounded(run.type, copies.shape);
    device_memory sources(gradient_bytes);
    const int32_t count = (int32_t)entries.size();
    kernel_launched(run,
                    cuda_launch_kernel_copies(NULL, run.type, count, on_device, pairs, values.floats(), fold,
                                              EPSILON, copies.data),
                    "copies");
    check_biases(run, entries, on_device, rows, values);
    std::vector<double> expected(total, 0.0);
    for (const cuda_kernel_copy &e : entries)
        for (int32_t o = 0; o < e.rows; o++)
            for (int32_t i = 0; i < e.depth; i++)
                for (int32_t tap = 0; tap < e.height * e.width; tap++) {
                    const size_t place =
                        ((size_t)o * (size_t)(e.height * e.width) + (size_t)tap) * (size_t)e.depth +
                        (size_t)i;
                    const size_t to = e.copy + place;
                    const int32_t source =
                        i - (e.blocks > 1 && o < e.out ? o / (e.out / e.blocks) * e.in : 0);
                    const bool real = o < e.out && source >= 0 && source < e.in;
                    const size_t from =
                        e.master +
                        ((size_t)o * (size_t)e.in + (size_t)source) * (size_t)(e.height * e.width) +
                        (size_t)tap;
                    const float factor = fold && real && e.folded ? factor_of(e, values, o) : 1.0f;
                    rounded.set(to, real ? (double)(values[from] * factor) : 0.0);
                    kernel_close(run, copies.at(to), rounded.at(to), 0.0, "copy", to);
                    const double gradient = draw_gradient(run, e, place, &sources);
                    if (real)
                        expected[from] = gradient;
                }
    kernel_launched(run,
                    cuda_launch_kernel_gradients(NULL, run.type, count, on_device, pairs, sources.data,
                                                 gradients.floats()),
                    "gradients");
    for (size_t i = 0; i < total; i++)
        kernel_close(run, (double)gradients[i], expected[i], 0.0, "gradient", i);
}

static void test_copies(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_copies);
}

/* ---- remap ---- */

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
    r.noise_everywhere = kernel_below(run, stream, 23, 2) != 0;
    e.child = add_tensor(&child_tensors, &child, dims, 7u + (uint32_t)k);
    e.source = add_tensor(&parent_tensors, &parent, source_dims, 7u + (uint32_t)k);
    memcpy(e.dims, dims, sizeof dims);
    memcpy(e.source_dims, source_dims, sizeof source_dims);
    e.has_source = r.source >= 0;
    e.noise_everywhere = r.noise_everywhere;
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

/* Without noise bit for bit; with noise within the last place. */
static void check_remap(const kernel_run &run)
{
    remap_case t(run);
    const remap_list list = {(int32_t)t.remaps.size(), t.remaps.data()};
    vector parent(t.parent.total), child(t.child.total), expected(t.child.total);
    device_memory table(t.entries.size() * sizeof t.entries[0]),
        deviations(t.entries.size() * sizeof(double));
    memcpy(table.data, t.entries.data(), table.bytes);
    memset(child.data, 0, child.bytes);
    parent.random(run, VALUES, 0.1, 1.0);
    remap_apply(&list, &t.child, &t.parent, parent.floats(), 77, expected.floats());
    kernel_launched(run,
                    cuda_launch_remap(NULL, list.count, static_cast<const cuda_remap *>(table.data),
                                      t.elements, 77, parent.floats(), static_cast<double *>(deviations.data),
                                      child.floats()),
                    "remap");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_remap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
