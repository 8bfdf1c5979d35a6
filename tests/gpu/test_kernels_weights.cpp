/* Weights against plain loops: working copies of kernels, with batch norms folded into them, their gradients, the end
 * of a step (optimizer, average and copies). */
#include "tests/gpu/kernel_check.h"

#include "cuda/kernels/half.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>

extern "C" {
#include <cmocka.h>
}

enum { CASES = 120, SETTINGS = 1, VALUES, SOURCES };

static const float EPSILON = 1e-3f;

/* ---- a table of weights ---- */

/* Kernels with copies (plain, grouped, grouped as a plain convolution, dense), kernels that no operation uses, and
 * vectors. */
struct weight_case {
    std::vector<cuda_weight> weights;
    uint64_t rows;
    size_t total, copied, gradient_bytes;
    device_memory table;

    explicit weight_case(const kernel_run &run);
    const cuda_weight *on_device() const
    {
        return static_cast<const cuda_weight *>(table.data);
    }
    int32_t count() const
    {
        return (int32_t)weights.size();
    }

  private:
    enum { KEPT = -1 }; /* in the place of a part: not trained */
    uint64_t take(int32_t part, size_t count);
    void take_norm(const kernel_run &run, uint64_t at, size_t kernel);
    void take_kernel(const kernel_run &run, uint64_t at, int32_t k);
};

enum { MOST_WEIGHTS = 64 };

weight_case::weight_case(const kernel_run &run)
    : rows(0), total(0), copied(0), gradient_bytes(0), table(MOST_WEIGHTS * sizeof(cuda_weight))
{
    const int32_t kernels = 1 + kernel_below(run, SETTINGS, 0, 6);
    if (kernel_below(run, SETTINGS, 3, 2))
        take(OPTIMIZER_BIAS, 1 + (size_t)kernel_below(run, SETTINGS, 4, 40));
    for (int32_t k = 0; k < kernels; k++)
        take_kernel(run, 20 * (uint64_t)(k + 1), k);
    memcpy(table.data, weights.data(), weights.size() * sizeof(weights[0]));
}

/* A tensor behind the last one, with what a search goes by; returns its offset. */
uint64_t weight_case::take(int32_t part, size_t count)
{
    cuda_weight w = {};
    w.offset = total;
    w.count = count;
    w.trained = part != KEPT;
    w.part = w.trained ? part : OPTIMIZER_KERNEL;
    w.rate = weights.size() % 3 == 1 ? 0.25f : 1.0f;
    w.copy = copied;
    w.first_row = rows;
    total += cuda_chunk_count(count) * CUDA_CHUNK;
    weights.push_back(w);
    return w.offset;
}

/* A batch norm behind every other kernel, a bias between them behind some. */
void weight_case::take_norm(const kernel_run &run, uint64_t at, size_t kernel)
{
    const size_t out = (size_t)weights[kernel].out;
    const uint64_t scale = take(OPTIMIZER_SCALE, out), shift = take(OPTIMIZER_BIAS, out);
    const uint64_t mean = take(KEPT, out), var = take(KEPT, out);
    const uint64_t bias = kernel_below(run, SETTINGS, at + 6, 2) ? take(OPTIMIZER_BIAS, out) : CUDA_NO_BIAS;
    cuda_weight &w = weights[kernel];
    w.folded = kernel_below(run, SETTINGS, at + 5, 2);
    if (!w.folded)
        return;
    w.scale = scale, w.shift = shift, w.mean = mean, w.var = var, w.bias = bias;
}

void weight_case::take_kernel(const kernel_run &run, uint64_t at, int32_t k)
{
    const int32_t height = 1 + kernel_below(run, SETTINGS, at + 2, 4),
                  width = 1 + kernel_below(run, SETTINGS, at + 3, 4);
    int32_t out = 1 + kernel_below(run, SETTINGS, at, 20), in = 1 + kernel_below(run, SETTINGS, at + 1, 20),
            blocks = 1;
    if (k % 3 == 2) {
        blocks = 1 + kernel_below(run, SETTINGS, at + 4, 4);
        out = blocks * (1 + out % 4);
    }
    if (kernel_below(run, SETTINGS, at + 8, 3) == 0) /* so that nothing is padded */
        out = cuda_padded(out), in = cuda_padded(in);
    const size_t kernel = weights.size();
    /* Every fifth is frozen. */
    const int32_t part = kernel_below(run, SETTINGS, at + 12, 2) ? OPTIMIZER_HIDDEN : OPTIMIZER_KERNEL;
    take(kernel_below(run, SETTINGS, at + 11, 5) ? part : (int32_t)KEPT,
         (size_t)out * (size_t)in * (size_t)(height * width));
    if (kernel_below(run, SETTINGS, at + 9, 6) > 0) { /* otherwise no operation uses it */
        cuda_weight &w = weights[kernel];
        w.out = out, w.in = in, w.taps = height * width;
        w.blocks = out % blocks == 0 ? blocks : 1;
        w.rows = cuda_padded(out);
        const bool keeps = k % 3 == 1 || (w.blocks == 1 && kernel_below(run, SETTINGS, at + 10, 2));
        w.depth = keeps ? in : cuda_padded(in * w.blocks); /* a grouped convolution keeps its depth */
        w.wide = kernel_below(run, SETTINGS, at + 7, 2);   /* its gradient is float32 */
        w.gradient = gradient_bytes;
        gradient_bytes += (cuda_copy_count(&w) * (w.wide ? 4 : cuda_type_size(run.type)) + 15) / 16 * 16;
        copied += cuda_copy_count(&w) + (k % 2 ? 0 : 8); /* some with a gap behind */
        rows += (uint64_t)w.rows;
        take_norm(run, at, kernel);
    }
}

/* The float that element (row, tap, channel) of the copy holds, in the flat array; -1: it is padding. */
static int64_t source_of(const cuda_weight &w, int32_t row, int32_t tap, int32_t channel)
{
    const int32_t source = channel - (w.blocks > 1 && row < w.out ? row / (w.out / w.blocks) * w.in : 0);
    if (row >= w.out || source < 0 || source >= w.in)
        return -1;
    return (int64_t)w.offset + ((int64_t)row * w.taps + tap) * w.in + source;
}

static size_t offset_in_copy(const cuda_weight &w, int32_t row, int32_t tap, int32_t channel)
{
    return ((size_t)row * (size_t)w.taps + (size_t)tap) * (size_t)w.depth + (size_t)channel;
}

/* Calls body(element of the copy, offset in the flat array or -1, row) for all of a copy. */
template <class F> static void each_copied(const cuda_weight &w, F body)
{
    for (int32_t row = 0; row < w.rows; row++)
        for (int32_t tap = 0; tap < w.taps; tap++)
            for (int32_t channel = 0; channel < w.depth; channel++)
                body(offset_in_copy(w, row, tap, channel), source_of(w, row, tap, channel), row);
}

/* A gradient of the kernel, as float32 or rounded to the type; returns what is stored. */
static double store_gradient(const kernel_run &run, const cuda_weight &w, size_t offset, float value,
                             device_memory *gradients)
{
    char *at = static_cast<char *>(gradients->data) + w.gradient;
    if (w.wide || run.type == CUDA_FLOAT) {
        memcpy(at + offset * sizeof(value), &value, sizeof(value));
        return (double)value;
    }
    const uint16_t bits = run.type == CUDA_BF16 ? half_to_bf16(value) : half_to_fp16(value);
    memcpy(at + offset * sizeof(bits), &bits, sizeof(bits));
    return (double)(run.type == CUDA_BF16 ? half_from_bf16(bits) : half_from_fp16(bits));
}

/* Random values, zeros in the gaps. */
static void draw_values(const kernel_run &run, const weight_case &t, uint32_t stream, double centre,
                        double width, vector *values)
{
    memset(values->data, 0, values->bytes);
    for (const cuda_weight &w : t.weights)
        for (size_t i = w.offset; i < w.offset + w.count; i++)
            (*values)[i] = (float)(centre + width * (double)kernel_unit(run, stream, i));
}

/* ---- copies ---- */

/* What the kernels are to be multiplied by, in float as they do it. */
static float factor_of(const cuda_weight &w, vector &values, int32_t row)
{
    return values[w.scale + (size_t)row] / sqrtf(values[w.var + (size_t)row] + EPSILON);
}

static void check_biases(const kernel_run &run, const weight_case &t, vector &values)
{
    activation biases(run.type, cuda_shape{1, (int32_t)t.rows, 1, 1}), rounded(run.type, biases.shape);
    cuda_kernel_copies folded = {};
    folded.count = t.count();
    folded.weights = t.on_device();
    folded.values = values.floats();
    folded.epsilon = EPSILON;
    folded.rows = t.rows;
    folded.biases = biases.data;
    kernel_launched(run, cuda_launch_folded_biases(NULL, run.type, &folded), "biases");
    for (const cuda_weight &w : t.weights)
        for (int32_t row = 0; row < w.rows; row++) {
            const size_t offset = w.first_row + (size_t)row;
            double bias = 0;
            if (w.folded && row < w.out) {
                const float factor = factor_of(w, values, row);
                float sum = fmaf(-values[w.mean + (size_t)row], factor, values[w.shift + (size_t)row]);
                if (w.bias != CUDA_NO_BIAS)
                    sum = fmaf(values[w.bias + (size_t)row], factor, sum);
                bias = (double)sum;
            }
            rounded.set(offset, bias);
            kernel_close(run, biases.at(offset), rounded.at(offset), 0.0, "bias", offset);
        }
}

static void check_copies(const kernel_run &run)
{
    const weight_case t(run);
    const int32_t fold = kernel_below(run, SETTINGS, 1, 3) > 0;
    vector values(t.total);
    draw_values(run, t, VALUES, 0.0, 1.0, &values);
    for (const cuda_weight &w : t.weights)
        for (int32_t row = 0; w.folded && row < w.out; row++)
            values[w.var + (size_t)row] = 0.01f + std::fabs(values[w.var + (size_t)row]);
    activation copies(run.type, cuda_shape{1, (int32_t)t.copied, 1, 1}), rounded(run.type, copies.shape);
    cuda_kernel_copies made = {};
    made.count = t.count();
    made.weights = t.on_device();
    made.values = values.floats();
    made.fold = fold;
    made.epsilon = EPSILON;
    made.elements = t.copied;
    made.copies = copies.data;
    kernel_launched(run, cuda_launch_kernel_copies(NULL, run.type, &made), "copies");
    if (t.rows > 0)
        check_biases(run, t, values);
    for (const cuda_weight &w : t.weights)
        each_copied(w, [&](size_t offset, int64_t from, int32_t row) {
            const float factor = fold && from >= 0 && w.folded ? factor_of(w, values, row) : 1.0f;
            rounded.set(w.copy + offset, from >= 0 ? (double)(values[(size_t)from] * factor) : 0.0);
            kernel_close(run, copies.at(w.copy + offset), rounded.at(w.copy + offset), 0.0, "copy",
                         w.copy + offset);
        });
}

static void test_copies(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_copies);
}

/* Gradients of some neighbours in the table into the flat array. What stands in padding is NaN, and not read. */
static void check_gradients(const kernel_run &run)
{
    const weight_case t(run);
    const size_t first = (size_t)kernel_below(run, SETTINGS, 10, t.count()),
                 last = first + (size_t)kernel_below(run, SETTINGS, 11, t.count() - (int32_t)first);
    vector gradients(t.total);
    device_memory sources(t.gradient_bytes);
    std::vector<double> expected(t.total, 3.0);
    for (size_t i = 0; i < t.total; i++)
        gradients[i] = 3.0f;
    for (size_t k = 0; k < t.weights.size(); k++) {
        const cuda_weight &w = t.weights[k];
        const bool wanted = w.rows > 0 && k >= first && k <= last;
        const size_t unit = k < last ? (size_t)CUDA_CHUNK : (size_t)CUDA_CHANNELS;
        for (size_t i = w.offset + w.count; wanted && i % unit != 0; i++)
            expected[i] = 0.0; /* the gap behind it, if only that in its last pack */
        each_copied(w, [&](size_t offset, int64_t from, int32_t) {
            if (from < 0)
                return;
            const float value = kernel_unit(run, SOURCES, (uint64_t)from);
            const double stored = store_gradient(run, w, offset, value, &sources);
            if (wanted)
                expected[(size_t)from] = stored;
        });
    }
    cuda_kernel_gradients flattened = {};
    flattened.count = t.count();
    flattened.weights = t.on_device();
    flattened.first = t.weights[first].offset;
    flattened.end = t.weights[last].offset + t.weights[last].count;
    flattened.kernel_gradients = sources.data;
    flattened.gradients = gradients.floats();
    kernel_launched(run, cuda_launch_kernel_gradients(NULL, run.type, &flattened), "gradients");
    for (size_t i = 0; i < t.total; i++)
        kernel_close(run, (double)gradients[i], expected[i], 0.0, "gradient", i);
}

static void test_gradients(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_gradients);
}

/* ---- the end of a step ---- */

static const double FLOAT = (double)FLT_EPSILON;

/* One update: its settings, and all that it reads and writes. */
struct update_case {
    weight_case t;
    optimizer_kind kind;
    bool change, averages, flat; /* flat: gradients of kernels, too, as in a group of devices */
    double scale;                /* of gradients; 0: they are not scaled */
    bool spoils;                 /* the gradient of a trained weight is not finite */
    vector value, first, second, average, gradients, updates;
    device_memory kernel_gradients, scaling, metrics;
    activation copies, rounded;
    std::vector<cuda_weight> owner; /* of every offset; gaps have one that is not trained */
    std::vector<double> gradient;
    cuda_step step;
    optimizer o;

    explicit update_case(const kernel_run &run);
    cuda_update arguments(const cuda_step *at);
    void draw_gradients(const kernel_run &run);
    void draw_updates(const kernel_run &run);
    double *sums()
    {
        return static_cast<double *>(metrics.data);
    }
};

update_case::update_case(const kernel_run &run)
    : t(run), kind((optimizer_kind)(run.index % 3)), change(kernel_below(run, SETTINGS, 300, 8) > 0),
      averages(!change || kernel_below(run, SETTINGS, 301, 3) > 0),
      flat(kernel_below(run, SETTINGS, 302, 3) == 0), scale(0.0), spoils(false), value(t.total),
      first(t.total), second(t.total), average(t.total), gradients(t.total), updates(t.total + CUDA_CHUNK),
      kernel_gradients(t.gradient_bytes), scaling(cuda_scaling_scratch()), metrics(5 * sizeof(double)),
      copies(run.type, cuda_shape{1, (int32_t)t.copied, 1, 1}), rounded(run.type, copies.shape),
      owner(t.total), gradient(t.total, 0.0), step(kernel_step(run))
{
    if (run.type == CUDA_HALF && change)
        scale = run.index % 3 ? 1024.0 : (double)CUDA_SCALE_FIRST;
    draw_values(run, t, VALUES, 0.0, 1.0, &value);
    draw_values(run, t, VALUES + 10, 0.0, 0.2, &first);
    draw_values(run, t, VALUES + 11, 0.2, 0.2, &second);
    draw_values(run, t, VALUES + 12, 0.0, 1.0, &average);
    draw_updates(run);
    for (const cuda_weight &w : t.weights)
        std::fill(owner.begin() + (ptrdiff_t)w.offset, owner.begin() + (ptrdiff_t)(w.offset + w.count), w);
    for (size_t i = 0; i < t.copied; i++)
        copies.set(i, 7.0);
    draw_gradients(run);
    o = {kind, 0.9f, 0.99f, 0.05f, 1.5f, 0.02f, 0.25f};
    step.look_ahead = kernel_below(run, SETTINGS, 202, 3) == 0;
    step.average_decay = kernel_below(run, SETTINGS, 203, 4) ? step.average_decay : 1.0f;
    step.number = (uint32_t)kernel_below(run, SETTINGS, 200, 50);
    step.first_scale = (float)(1.0 / (1.0 - std::pow((double)o.momentum, step.number + 1.0)));
    step.second_scale = (float)(1.0 / (1.0 - std::pow((double)o.second, step.number + 1.0)));
}

/* Of Muon's hidden kernels, not where their gradients are, with zeros in the gaps behind them. */
void update_case::draw_updates(const kernel_run &run)
{
    memset(updates.data, 0, updates.bytes);
    for (cuda_weight &w : t.weights) {
        w.orthogonal = kind == OPTIMIZER_MUON && w.trained && w.part == OPTIMIZER_HIDDEN;
        w.update = w.offset + CUDA_CHUNK;
        for (size_t i = 0; i < w.count; i++)
            updates[w.update + i] = 0.3f * kernel_unit(run, VALUES + 13, w.update + i);
    }
    memcpy(t.table.data, t.weights.data(), t.weights.size() * sizeof(t.weights[0]));
}

/* NaN where none belongs: padding, and a kernel's flat gradient when its own is read. In half precision in every fifth
 * run one of a trained weight, or of a kept one, is infinite. */
void update_case::draw_gradients(const kernel_run &run)
{
    const float times = scale > 0.0 ? (float)scale : 1.0f;
    const size_t spoilt = scale > 0.0 && run.index % 5 == 4
                              ? (size_t)kernel_below(run, SETTINGS, 201, (int32_t)t.total)
                              : t.total;
    spoils = spoilt < t.total && owner[spoilt].trained;
    for (size_t i = 0; i < t.total; i++)
        gradients[i] = 0.0f;
    for (const cuda_weight &w : t.weights) {
        const bool own = w.rows > 0 && !flat;
        const auto draw = [&](size_t i) {
            return i == spoilt ? (run.index % 2 ? INFINITY : NAN)
                               : 0.3f * times * kernel_unit(run, SOURCES, i);
        };
        for (size_t i = w.offset; i < w.offset + w.count; i++)
            gradients[i] = own ? NAN : draw(i);
        for (size_t i = w.offset; i < w.offset + w.count; i++)
            gradient[i] = (double)gradients[i] / (double)times;
        if (own)
            each_copied(w, [&](size_t offset, int64_t from, int32_t) {
                if (from >= 0)
                    gradient[(size_t)from] =
                        store_gradient(run, w, offset, draw((size_t)from), &kernel_gradients) / (double)times;
            });
    }
}

cuda_update update_case::arguments(const cuda_step *at)
{
    cuda_update u = {};
    u.floats = t.total;
    u.count = t.count();
    u.weights = t.on_device();
    u.step = at;
    u.optimizer = o;
    u.scaling = scale > 0.0 ? static_cast<const cuda_scaling *>(scaling.data) : NULL;
    u.kernel_gradients = flat ? NULL : kernel_gradients.data;
    u.gradients = change ? gradients.floats() : NULL;
    u.updates = updates.floats();
    u.value = value.floats();
    u.first = change ? first.floats() : NULL;
    u.second = change && kind == OPTIMIZER_ADAMW ? second.floats() : NULL;
    u.average = averages ? average.floats() : NULL;
    u.copies = copies.data;
    return u;
}

static void check_scaling(const kernel_run &run, update_case &c, const cuda_update &u)
{
    ticket_memory tickets;
    const bool grows = run.index % 2 == 1;
    c.sums()[CUDA_METRIC_SCALE] = run.index % 3 ? c.scale : 0.0;
    c.sums()[CUDA_METRIC_GOOD] = grows ? CUDA_SCALE_GROWTH - 1 : 7;
    kernel_launched(run, cuda_launch_scaling(NULL, run.type, &u, c.sums(), c.scaling.data, tickets.get()),
                    "scaling");
    tickets.check(run);
    kernel_close(run, c.sums()[CUDA_METRIC_SCALE],
                 c.spoils ? c.scale / 2
                 : grows  ? 2 * c.scale
                          : c.scale,
                 0.0, "scale", 0);
    kernel_close(run, c.sums()[CUDA_METRIC_GOOD], c.spoils || grows ? 0.0 : 8.0, 0.0, "good steps", 0);
}

/* Copies are the values, rounded; or as they were where nothing changes, and in padding and gaps always. */
static void check_updated_copies(const kernel_run &run, update_case &c, bool changed, bool ahead)
{
    for (size_t i = 0; i < c.t.copied; i++)
        c.rounded.set(i, 7.0);
    for (const cuda_weight &w : c.t.weights)
        each_copied(w, [&](size_t offset, int64_t from, int32_t) {
            if (from >= 0 && (ahead || (changed && w.trained)))
                c.rounded.set(w.copy + offset, (double)c.value[(size_t)from]);
        });
    for (size_t i = 0; i < c.t.copied; i++)
        kernel_close(run, c.copies.at(i), c.rounded.at(i), 0.0, "copy", i);
}

static void check_update(const kernel_run &run)
{
    update_case c(run);
    device_memory memory(sizeof(c.step));
    memcpy(memory.data, &c.step, sizeof(c.step));
    const cuda_update u = c.arguments(static_cast<const cuda_step *>(memory.data));
    std::vector<double> w(c.value.floats(), c.value.floats() + c.t.total),
        m(c.first.floats(), c.first.floats() + c.t.total),
        s(c.second.floats(), c.second.floats() + c.t.total),
        a(c.average.floats(), c.average.floats() + c.t.total);
    if (c.scale > 0.0)
        check_scaling(run, c, u);
    kernel_launched(run, cuda_launch_update(NULL, run.type, &u), "update");
    const double rate = (double)c.step.learning_rate, decay = (double)c.step.average_decay,
                 b1 = (double)c.o.momentum, b2 = (double)c.o.second;
    const bool changed = c.change && !c.spoils, ahead = c.averages && c.step.look_ahead;
    for (size_t i = 0; i < c.t.total; i++) {
        const cuda_weight &owner = c.owner[i];
        const bool moves = changed && owner.trained, bias = owner.part == OPTIMIZER_BIAS,
                   hidden = owner.part == OPTIMIZER_HIDDEN;
        const double g = c.gradient[i], exact = moves || ahead ? 1.0 : 0.0,
                     own = rate * (double)owner.rate *
                           (bias                                 ? (double)c.o.bias_rate
                            : hidden && c.kind == OPTIMIZER_MUON ? (double)c.o.muon_rate
                                                                 : 1.0),
                     lost = owner.part == OPTIMIZER_KERNEL || hidden ? (double)c.o.decay
                            : bias                                   ? (double)c.o.bias_decay
                                                                     : 0.0;
        double change = 0.0;
        if (moves && owner.orthogonal) {
            change = own * (double)c.updates[owner.update + i - owner.offset];
        } else if (moves && c.kind != OPTIMIZER_ADAMW) {
            m[i] = b1 * m[i] + g;
            change = own * (g + b1 * m[i]);
        } else if (moves) {
            m[i] = b1 * m[i] + (1.0 - b1) * g;
            s[i] = b2 * s[i] + (1.0 - b2) * g * g;
            change = own * (m[i] * (double)c.step.first_scale) /
                     (std::sqrt(s[i] * (double)c.step.second_scale) + (double)OPTIMIZER_ADAM_EPSILON);
        }
        w[i] = w[i] * (moves ? 1.0 - rate * lost : 1.0) - change;
        if (c.averages)
            a[i] = decay * a[i] + (1.0 - decay) * (ahead ? w[i] : (double)c.value[i]);
        if (ahead)
            w[i] = a[i];
        kernel_close(run, (double)c.value[i], w[i], exact * 8.0 * FLOAT * (1.0 + 4.0 * std::fabs(change)),
                     "value", i);
        kernel_close(run, (double)c.first[i], m[i], exact * 4.0 * FLOAT, "first", i);
        kernel_close(run, (double)c.second[i], s[i], exact * 4.0 * FLOAT, "second", i);
        kernel_close(run, (double)c.average[i], a[i],
                     !c.averages ? 0.0
                     : ahead     ? 8.0 * FLOAT * (1.0 + 4.0 * std::fabs(change))
                                 : 4.0 * FLOAT,
                     "average", i);
    }
    check_updated_copies(run, c, changed, ahead);
}

static void test_update(void **state)
{
    (void)state;
    kernel_sweep(CASES, check_update);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_update),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
