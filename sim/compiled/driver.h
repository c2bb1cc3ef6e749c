// Streams of a Verilated design, and what a run does at them: the interface between the driver,
// which is compiled once, and the few lines that are generated for each design.
//
// All integers of Traffic and Run have 64 bits: sim/compiled/driver.py has the same structures.

#pragma once

#include <cstdint>
#include <vector>

// One signal of a design, as Verilator stores it: 1, 2, 4 or 8 bytes, or words of 32 bits.
struct Signal {
    void *value;
    uint32_t bytes;
    uint32_t bits;

    template <typename T>
    Signal(T &variable, uint32_t width) : value(&variable), bytes(sizeof(T)), bits(width) {}
};

// One stream. A beat is the payload's signals one behind the other, each from a word of its own on.
struct Port {
    uint8_t *valid;
    uint8_t *ready;
    std::vector<Signal> payload;
    uint32_t words;
};

// Inputs come before the output.
struct Design {
    uint8_t *clock;
    uint8_t *reset;
    uint8_t active;
    uint8_t *error;
    std::vector<Port> ports;
    std::vector<Signal> controls;

    virtual ~Design() = default;
    virtual void eval() = 0;
};

// What one stream does in a run.
struct Traffic {
    uint32_t *beats;         // to send, or room for those that come: one more than count
    const uint8_t *pattern;  // input: whether the next beat may start; output: ready; used cyclically
    int64_t period;
    int64_t count;
    int64_t *offered;        // cycle in which each beat was first valid
    int64_t *moved;          // cycle in which each beat was transferred
    int64_t done;            // result: beats transferred
};

enum Status { FINISHED, STOPPED, SILENT, CHANGED, WITHDRAWN, EXTRA };

struct Run {
    Traffic *traffic;
    int64_t patience;     // cycles without a transfer after which to give up
    int64_t quiet;        // cycles without a transfer after which the output has ended
    int64_t limit;        // cycles after which to stop; 0: none
    int64_t waits;        // whether ready follows its pattern only while a beat is known to wait
    int64_t junk;         // seed of what is on a payload that is not valid
    uint8_t *handshakes;  // for each cycle and stream: valid in bit 0, ready in bit 1; or null
    int64_t room;         // cycles that handshakes has room for
    int64_t status;       // results
    int64_t cycles;
    int64_t error;        // final value
    int64_t rise;         // first cycle in which error was high, 0: none
};
