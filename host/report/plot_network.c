/* A network as boxes, from the image above to the classes below. */
#include "host/report/plots.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Layers that only follow others (batch norms, activations, dropout) stand in one box with these. LANE: distance of
 * lines that pass boxes by. */
enum {
    WIDTH = 1000,
    TOP = 90,
    BOX_LEFT = 330,
    BOX_WIDTH = 420,
    LANE = 14,
    MOST_LANES = 14,
    TEXT_BYTES = 256
};
static const double MOST_PITCH = 38, MOST_HEIGHT = 30000;

struct box {
    int32_t first, last; /* layers */
    char text[TEXT_BYTES];
};

struct drawing {
    const struct graph *graph;
    struct box *boxes;
    int32_t count;
    int32_t *of; /* [layers] the box of each */
    double pitch;
};

/* ---- boxes ---- */

static int32_t readers_of(const struct graph *graph, int32_t layer)
{
    int32_t count = 0;
    for (int32_t i = layer + 1; i < graph->count; i++)
        for (int32_t k = 0; k < graph->layers[i].input_count; k++)
            count += graph->layers[i].inputs[k] == layer;
    return count;
}

static bool is_follower(const struct layer *layer)
{
    switch (layer_traits(layer->kind)->family) {
    case FAMILY_ACTIVATION:
    case FAMILY_BATCH_NORM:
    case FAMILY_DROPOUT:
        return true;
    case FAMILY_INPUT:
    case FAMILY_CONV:
    case FAMILY_MAX_POOL:
    case FAMILY_AVERAGE_POOL:
    case FAMILY_GLOBAL_POOL:
    case FAMILY_ADD:
    case FAMILY_CONCAT:
    case FAMILY_DENSE:
    case FAMILY_GATE:
        return false;
    }
    return false;
}

/* "conv 3 x 3 / 2", "max pool 2 x 2 / 2", "batch norm", "relu" */
static void describe(const struct layer *layer, char *text, size_t room)
{
    char name[32];
    snprintf(name, sizeof(name), "%s", layer_kind_name(layer->kind));
    for (char *at = name; *at != '\0'; at++)
        *at = *at == '_' ? ' ' : *at;
    size_t used = (size_t)snprintf(text, room, "%s", name);
    if (layer->kernel_h > 0 && used < room)
        used += (size_t)snprintf(text + used, room - used, " %d x %d", layer->kernel_h, layer->kernel_w);
    if (layer->stride > 1 && used < room)
        used += (size_t)snprintf(text + used, room - used, " / %d", layer->stride);
    if (layer->groups > 1 && used < room)
        snprintf(text + used, room - used, ", %d groups", layer->groups);
}

static void add_text(struct box *box, const struct layer *layer)
{
    char text[64];
    const size_t used = strlen(box->text);
    describe(layer, text, sizeof(text));
    snprintf(box->text + used, sizeof(box->text) - used, "%s%s", used > 0 ? ", " : "", text);
}

static void make_boxes(struct drawing *drawing)
{
    const struct graph *graph = drawing->graph;
    for (int32_t i = 0; i < graph->count; i++) {
        const struct layer *layer = &graph->layers[i];
        struct box *box = drawing->count > 0 ? &drawing->boxes[drawing->count - 1] : NULL;
        if (box == NULL || box->first == 0 || !is_follower(layer) || layer->inputs[0] != box->last ||
            readers_of(graph, box->last) != 1) {
            box = &drawing->boxes[drawing->count++];
            box->first = i;
        }
        box->last = i;
        add_text(box, layer);
        drawing->of[i] = drawing->count - 1;
    }
}

/* ---- drawing ---- */

static double box_y(const struct drawing *drawing, int32_t box)
{
    return TOP + (box + 0.5) * drawing->pitch;
}

static struct colour colour_of(enum layer_kind kind)
{
    switch (layer_traits(kind)->family) {
    case FAMILY_CONV:
        return COLOUR_PALE_BLUE;
    case FAMILY_DENSE:
        return (struct colour){0.98, 0.80, 0.62, 1};
    case FAMILY_MAX_POOL:
    case FAMILY_AVERAGE_POOL:
    case FAMILY_GLOBAL_POOL:
        return (struct colour){0.78, 0.90, 0.78, 1};
    case FAMILY_ADD:
    case FAMILY_CONCAT:
    case FAMILY_GATE:
        return (struct colour){0.93, 0.84, 0.93, 1};
    case FAMILY_INPUT:
    case FAMILY_ACTIVATION:
    case FAMILY_BATCH_NORM:
    case FAMILY_DROPOUT:
        return COLOUR_GRID;
    }
    return COLOUR_GRID;
}

static void draw_box(struct canvas *canvas, const struct drawing *drawing, int32_t index)
{
    const struct box *box = &drawing->boxes[index];
    const struct shape shape = drawing->graph->layers[box->last].shape;
    const double y = box_y(drawing, index), height = 0.68 * drawing->pitch,
                 size = fmin(15, 0.42 * drawing->pitch);
    char text[96];

    canvas_colour(canvas, colour_of(drawing->graph->layers[box->first].kind));
    cairo_rectangle(canvas->cairo, BOX_LEFT, y - height / 2, BOX_WIDTH, height);
    cairo_fill_preserve(canvas->cairo);
    canvas_colour(canvas, COLOUR_GREY);
    cairo_set_line_width(canvas->cairo, 1);
    cairo_stroke(canvas->cairo);
    canvas_colour(canvas, COLOUR_INK);
    canvas_text(canvas, BOX_LEFT + BOX_WIDTH / 2.0, y,
                (struct text_style){.size = size, .anchor = TEXT_CENTRE, .max_width = BOX_WIDTH - 12},
                index == 0 ? "image" : box->text);
    if (shape.h * shape.w > 1)
        snprintf(text, sizeof(text), "%d x %d x %d", shape.c, shape.h, shape.w);
    else
        snprintf(text, sizeof(text), "%d", shape.c);
    canvas_text(canvas, BOX_LEFT - 16, y, (struct text_style){.size = size, .anchor = TEXT_RIGHT}, text);
}

/* From box to box below it, straight or past those between, in the lane that is free there. */
static void draw_edge(struct canvas *canvas, const struct drawing *drawing, int32_t from, int32_t to,
                      int32_t *lanes)
{
    const double half = 0.34 * drawing->pitch, top = box_y(drawing, from), bottom = box_y(drawing, to);
    const double middle = BOX_LEFT + BOX_WIDTH / 2.0, right = BOX_LEFT + BOX_WIDTH;
    canvas_colour(canvas, COLOUR_INK);
    cairo_set_line_width(canvas->cairo, 1.3);
    if (to == from + 1) {
        cairo_move_to(canvas->cairo, middle, top + half);
        cairo_line_to(canvas->cairo, middle, bottom - half);
        cairo_stroke(canvas->cairo);
        return;
    }
    int lane = 0;
    while (lane < MOST_LANES - 1 && lanes[lane] > from)
        lane++;
    lanes[lane] = to;
    const double x = right + LANE * (lane + 1.5);
    cairo_move_to(canvas->cairo, right, top + half / 2);
    cairo_line_to(canvas->cairo, x, top + half / 2);
    cairo_line_to(canvas->cairo, x, bottom - half / 2);
    cairo_line_to(canvas->cairo, right, bottom - half / 2);
    cairo_stroke(canvas->cairo);
    cairo_move_to(canvas->cairo, right, bottom - half / 2);
    cairo_rel_line_to(canvas->cairo, 7, -3.5);
    cairo_rel_line_to(canvas->cairo, 0, 7);
    cairo_close_path(canvas->cairo);
    cairo_fill(canvas->cairo);
}

static void draw_edges(struct canvas *canvas, const struct drawing *drawing)
{
    int32_t lanes[MOST_LANES] = {0};
    for (int32_t b = 1; b < drawing->count; b++) {
        const struct layer *layer = &drawing->graph->layers[drawing->boxes[b].first];
        for (int32_t k = 0; k < layer->input_count; k++)
            draw_edge(canvas, drawing, drawing->of[layer->inputs[k]], b, lanes);
    }
}

enum status plot_network(struct picture *picture, const struct graph *graph, const char *title,
                         struct error *err)
{
    struct canvas canvas;
    struct drawing drawing = {.graph = graph,
                              .boxes = calloc((size_t)graph->count, sizeof(*drawing.boxes)),
                              .of = calloc((size_t)graph->count, sizeof(*drawing.of))};
    enum status st = ST_OK;
    if (drawing.boxes == NULL || drawing.of == NULL) {
        st = error_memory(err, "a network's drawing", (size_t)graph->count * sizeof(*drawing.boxes));
        goto out;
    }
    make_boxes(&drawing);
    drawing.pitch = fmin(MOST_PITCH, MOST_HEIGHT / drawing.count);
    st = canvas_open(&canvas, picture, WIDTH, TOP + (int)ceil(drawing.pitch * drawing.count) + 30, err);
    if (st != ST_OK)
        goto out;
    canvas_title(&canvas, title);
    draw_edges(&canvas, &drawing);
    for (int32_t i = 0; i < drawing.count; i++)
        draw_box(&canvas, &drawing, i);
    st = canvas_save(&canvas, err);
    canvas_close(&canvas);
out:
    free(drawing.boxes);
    free(drawing.of);
    return st;
}
