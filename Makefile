# Holdfast. `make help` lists what there is; CMake does the work.
.NOTPARALLEL:
.DEFAULT_GOAL := build
.PHONY: help deps build run test bench fuzz check format install package clean

JOBS   ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
# Where what is installed and packaged is built.
RELEASE ?= build/release
export JOBS RELEASE

help:
	@echo "make              build (executables in build/bin)"
	@echo "make run          install what is missing, build, start a development server and take the tour"
	@echo "                  PORT=8200 another port; TOUR=chapter another chapter"
	@echo "make test         install what is missing and run every test; one closing count"
	@echo "make check        formatting, include layers, banned functions, clang-tidy"
	@echo "make fuzz         run the fuzz targets: NAME=target for one, SECONDS_EACH=60 for how long"
	@echo "make bench        measure, and write bench/RESULTS.md"
	@echo "make deps         install what building needs, and nothing else"
	@echo "make install      DESTDIR= PREFIX=$(PREFIX)"
	@echo "make package      build a Debian package in build/package"
	@echo "make format       reformat the sources"
	@echo "make clean        remove what was built (build/deps stays)"

deps:
	@packaging/deps.sh build

# Configures once; ninja configures again by itself when the build's description changes.
build/%/build.ninja:
	@cmake --preset $* >build/$*.log 2>&1 || { cat build/$*.log; exit 1; }

build: deps build/dev/build.ninja
	@cmake --build build/dev -j $(JOBS)

run:
	@packaging/deps.sh build run
	@$(MAKE) -s --no-print-directory build/dev/build.ninja
	@cmake --build build/dev -j $(JOBS) --target holdfast holdfastd -- --quiet
	@exec build/bin/holdfast tour $(TOUR) $(if $(PORT),--port $(PORT))

test:
	@packaging/test.sh

check:
	@packaging/deps.sh build test
	@$(MAKE) --no-print-directory build/dev/build.ninja
	@python3 -B tools/check.py

format:
	@find src include tests bench -name '*.[ch]' -exec clang-format -i {} +

fuzz:
	@packaging/deps.sh build test
	@$(MAKE) --no-print-directory build/fuzz/build.ninja
	@cmake --build build/fuzz -j $(JOBS) --target fuzzers -- --quiet
	@python3 -B tools/fuzz.py --seconds $(or $(SECONDS_EACH),60) $(NAME)

bench:
	@packaging/deps.sh build test
	@$(MAKE) --no-print-directory build/release/build.ninja
	@cmake --build build/release -j $(JOBS) --target all bench_all -- --quiet
	@python3 -B bench/run.py --build build/release

install: deps
	@cmake --preset release -B "$(RELEASE)" -DCMAKE_INSTALL_PREFIX=$(PREFIX) -DCMAKE_INSTALL_SYSCONFDIR=/etc >build/install.log 2>&1 || { cat build/install.log; exit 1; }
	@cmake --build "$(RELEASE)" -j $(JOBS) -- --quiet
	@DESTDIR="$(DESTDIR)" cmake --install "$(RELEASE)"

package:
	@packaging/package.sh

clean:
	@rm -rf build/dev build/bin build/asan build/tsan build/fuzz build/release build/package build/tidy build/*.log
