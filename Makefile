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
CFLAGS_ALL := -std=c17 $(WARNINGS) $(OPTIMIZE) -g -D_GNU_SOURCE -I. -fopenmp -ffp-contract=off -fno-math-errno -MMD -MP $(SANITIZE) $(CFLAGS)
LIBS = $(shell pkg-config --libs $(PACKAGES)) -ldnnl -lopenblas -llapacke -lm -lpthread

ROOMS := spec host/base host/data host/net host/morph host/program host/ref host/cpu host/train host/search host/report host/run
LIBRARY_SOURCES := $(foreach room,$(ROOMS),$(filter-out host/run/main.c,$(wildcard $(room)/*.c)))
LIBRARY_OBJECTS := $(LIBRARY_SOURCES:%.c=$(BUILD)/%.o)
LIBRARY := $(BUILD)/libnasrun.a
TOOL_COMMON := $(wildcard tools/common/*.c)
TOOLS := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
TEST_COMMON := $(wildcard tests/support/*.c)
TESTS := $(wildcard tests/*/test_*.c)
TEST_SCRIPTS := $(sort $(wildcard tests/scripts/*.sh))
TEST_PROGRAMS := $(TESTS:tests/%.c=$(BUILD)/tests/%)
TEST_HELPERS := $(BUILD)/tests/run/make_data

.PHONY: all help deps demo test test-programs asan tsan bench install format format-check clean
all: $(BIN)/nasrun $(TOOLS:%=$(BIN)/%)

help:
	@echo 'make              builds bin/nasrun and the tools'
	@echo 'make demo         installs what is missing, builds, searches on Fashion-MNIST for 5 minutes, shows the report'
	@echo 'make test         installs what is missing, builds, runs all tests'
	@echo 'make deps         installs what is missing (as root; otherwise prints the one command to run)'
	@echo 'make asan, tsan   the tests under AddressSanitizer and UBSan, under ThreadSanitizer'
	@echo 'make bench        training speed, beside PyTorch where it is installed'
	@echo 'make install PREFIX=/usr/local'
	@echo 'make format-check, format, clean'

deps:
	@tools/deps.sh build

demo:
	@tools/deps.sh build demo
	@$(MAKE) --no-print-directory all
	$(BIN)/nasrun --fresh samples/fashion-mnist.cfg budget.seconds=300 output.dir=runs/demo

test:
	@tools/deps.sh build demo test
	@$(MAKE) --no-print-directory all test-programs
	@NASRUN_BIN=$(BIN) NASRUN_TESTS=$(BUILD)/tests tests/run.sh $(TEST_PROGRAMS) $(TEST_SCRIPTS)

test-programs: $(TEST_PROGRAMS) $(TEST_HELPERS)

# Sanitizers: the same test programs, built apart. OpenMP's own synchronisation is unknown to ThreadSanitizer, so that one
# runs the tests of the threads that are ours.
asan:
	@tools/deps.sh build demo test
	@$(MAKE) --no-print-directory BUILD=build/asan BIN=build/asan/bin OPTIMIZE=-O1 \
		SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' test-programs
	@NASRUN_QUICK=1 tests/run.sh $(TESTS:tests/%.c=build/asan/tests/%)

tsan:
	@tools/deps.sh build demo test
	@$(MAKE) --no-print-directory BUILD=build/tsan BIN=build/tsan/bin OPTIMIZE=-O1 SANITIZE='-fsanitize=thread' test-programs
	@NASRUN_QUICK=1 OMP_NUM_THREADS=1 tests/run.sh $(TESTS:tests/%.c=build/tsan/tests/%)

bench: $(BUILD)/tests/bench/bench_train
	@tests/bench/bench.sh $(BUILD)/tests/bench/bench_train

PREFIX ?= /usr/local
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/nasrun/samples
	install -m 755 $(BIN)/nasrun $(TOOLS:%=$(BIN)/%) $(DESTDIR)$(PREFIX)/bin
	install -m 644 samples/* $(DESTDIR)$(PREFIX)/share/nasrun/samples

FORMATTED = $(shell git ls-files '*.c' '*.h')
format:
	clang-format -i $(FORMATTED)
format-check:
	clang-format --dry-run -Werror $(FORMATTED)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -c $< -o $@

$(LIBRARY): $(LIBRARY_OBJECTS)
	@rm -f $@
	ar qcs $@ $^

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

clean:
	rm -rf build bin

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
