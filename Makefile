# nasrun: `make help` lists what can be made.
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build/release
BIN ?= bin
SANITIZE ?=
OPTIMIZE ?= -O3
PACKAGES := libconfig libpng libjpeg zlib libcjson cairo
WARNINGS := -Wall -Wextra -Wpedantic -Werror
CFLAGS_ALL := -std=c17 $(WARNINGS) $(OPTIMIZE) -g -D_GNU_SOURCE -I. -fopenmp -ffp-contract=off -MMD -MP $(SANITIZE) $(CFLAGS)
LIBS = $(shell pkg-config --libs $(PACKAGES)) -ldnnl -lopenblas -llapacke -lm -lpthread

ROOMS := spec host/base host/data host/net host/morph host/program host/ref host/cpu host/train host/search host/run
LIBRARY_SOURCES := $(foreach room,$(ROOMS),$(filter-out host/run/main.c,$(wildcard $(room)/*.c)))
LIBRARY_OBJECTS := $(LIBRARY_SOURCES:%.c=$(BUILD)/%.o)
LIBRARY := $(BUILD)/libnasrun.a
TOOL_COMMON := $(wildcard tools/common/*.c)
TOOLS := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
TEST_COMMON := $(wildcard tests/support/*.c)
TESTS := $(wildcard tests/*/test_*.c)
TEST_PROGRAMS := $(TESTS:tests/%.c=$(BUILD)/tests/%)

.PHONY: all clean
all: $(BIN)/nasrun $(TOOLS:%=$(BIN)/%)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -c $< -o $@

$(LIBRARY): $(LIBRARY_OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(BIN)/nasrun: $(BUILD)/host/run/main.o $(LIBRARY)
	@mkdir -p $(BIN)
	$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS)

$(BIN)/%: $(BUILD)/tools/%.o $(TOOL_COMMON:%.c=$(BUILD)/%.o) $(LIBRARY)
	@mkdir -p $(BIN)
	$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_COMMON:%.c=$(BUILD)/%.o) $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS) -lcmocka

.PRECIOUS: $(BUILD)/%.o
test-programs: $(TEST_PROGRAMS)

clean:
	rm -rf build bin

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
