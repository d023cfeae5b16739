# A thin cover over Meson: `make help` lists what there is. Meson and Ninja do the building, in build/NAME.

PORT ?= 7700
DATA ?= forage-data
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 600
WERROR ?= false

# Real data for tests and benchmarks; without it they skip and say so.
ifneq ($(wildcard ../shared/data),)
FORAGE_DATA ?= $(abspath ../shared/data)
endif
ifdef FORAGE_DATA
export FORAGE_DATA
endif

# $(call configure,NAME,OPTIONS): Meson makes build/NAME, or looks again at what is there (new tests are found so).
configure = @meson setup build/$(1) $$(test -f build/$(1)/build.ninja && echo --reconfigure) \
	--prefix $(PREFIX) --libdir lib $(2) >build/$(1).log 2>&1 || { cat build/$(1).log; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help demo build test asan tsan fuzz soak bench format lint install clean

help:
	@echo 'make demo      install what is missing, build, import the sample catalogue, serve it on port $(PORT)'
	@echo 'make test      everything that can be checked here; the last line is the sum'
	@echo 'make build     the command (build/release/src/cli/forage) and the libraries, optimised'
	@echo 'make install   build, then install below $(PREFIX) (PREFIX=, DESTDIR=)'
	@echo 'make asan      unit tests and fuzz seeds under AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make tsan      unit tests under ThreadSanitizer'
	@echo 'make fuzz      every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS) (needs clang)'
	@echo 'make soak      writers, readers and kill -9 for SOAK_SECONDS=$(SOAK_SECONDS), then a proof that nothing is wrong'
	@echo 'make bench     every benchmark; make bench-NAME one of: $(BENCHES)'
	@echo 'make format    clang-format over the .c files'
	@echo 'make lint      layers, lengths, names, documentation'
	@echo 'make clean     remove build/ (not $(DATA)/)'

build/:
	@mkdir -p build

deps:
	@tools/deps.sh
.PHONY: deps

build: deps | build/
	$(call configure,release,-Dbuildtype=release)
	@ninja -C build/release -n | grep -q 'no work to do' || echo 'Building Forage, a minute or two …'
	@ninja -C build/release >build/release.out 2>&1 || { cat build/release.out; exit 1; }

demo: build
	@exec tools/demo.sh build/release/src/cli/forage $(DATA) $(PORT)

test: deps | build/
	$(call configure,test,-Dbuildtype=debugoptimized -Dwerror=$(WERROR))
	@ninja -C build/test --quiet
	@python3 -B tools/run_tests.py build/test

SANITIZED = -Dwerror=false -Dbuildtype=debug -Doptimization=1 -Db_lundef=false

asan: deps | build/
	$(call configure,asan,$(SANITIZED) -Db_sanitize=address$(,)undefined)
	@ninja -C build/asan --quiet
	@python3 -B tools/run_tests.py build/asan --suite unit --suite fuzz --slower 4

tsan: deps | build/
	$(call configure,tsan,$(SANITIZED) -Db_sanitize=thread)
	@ninja -C build/tsan --quiet
	@python3 -B tools/run_tests.py build/tsan --suite unit --slower 10

fuzz: deps | build/
	@command -v clang >/dev/null || { echo 'make fuzz needs clang: apt-get install clang'; exit 1; }
	$(call configure,fuzz,$(SANITIZED) -Db_sanitize=address$(,)undefined -Dfuzz=true)
	@ninja -C build/fuzz --quiet
	@tools/fuzz.sh build/fuzz $(FUZZ_SECONDS)
fuzz: export CC = clang

soak: build
	@FORAGE=build/release/src/cli/forage python3 -B tools/soak.py --seconds $(SOAK_SECONDS)

BENCHES := $(patsubst bench/bench_%.py,%,$(wildcard bench/bench_*.py))

bench: $(BENCHES:%=bench-%)

bench-%: build
	@python3 -B bench/run.py $*

format:
	@find src tests examples bench -name '*.c' | xargs clang-format -i
	@echo formatted

lint:
	@python3 -B tools/check_layers.py
	@python3 -B tools/lint.py

install: build
	@DESTDIR=$(DESTDIR) meson install -C build/release --no-rebuild

clean:
	@rm -rf build

, := ,
