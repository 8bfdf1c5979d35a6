/* The trainer's fields, for trainer.c and checkpoint.c alone. */
#ifndef NASRUN_TRAIN_TRAINER_INTERNAL_H
#define NASRUN_TRAIN_TRAINER_INTERNAL_H

#include "host/train/trainer.h"

struct trainer {
    struct trainer_place place;
    struct trainer_settings settings;
    struct trainer_state state;
    struct graph graph;
    struct program training_program, evaluation_program;
    struct device_program *training, *evaluation;
    struct device_weights *weights;
    double epoch_began;  /* trainer_state.seconds when this epoch, or this part of it, began */
    double epoch_images; /* trained on since then */
};

#endif
