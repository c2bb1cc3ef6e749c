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
    bool out;
};

// The output comes last; one before it that is an output too is the requests of a memory port.
struct Design {
    uint8_t *clock;
    uint8_t *reset;
    uint8_t active;
    uint8_t *error;
    std::vector<Port> ports;
    std::vector<Signal> controls;
    std::vector<Signal> flags;

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

// Memory behind a port. A request has an address in bytes and a number of words, 32 bits each; a
// response is that many beats of a word, the last one with the bit behind it set.
struct Memory {
    const uint8_t *content;
    int64_t size;      // bytes
    int64_t bytes;     // of a word
    int64_t request;   // number of the port
    int64_t response;
    int64_t least;     // cycles from a request to its first word
    int64_t most;
    int64_t gap;       // cycles of 1000 without a word
    int64_t refuse;    // cycles of 1000 in which no request is taken
    int64_t burst;     // words of a request at most
    int64_t broken;    // number of the request that gets another number of words; -1: none
    int64_t extra;     // so many more, or fewer; one at least is sent
    int64_t seed;
    int64_t *taken;    // results: cycle in which each word was taken, or null
    int64_t room;      // words that taken has room for
    int64_t requests;
    int64_t words;
    int64_t asked;     // words of the broken request; 0: there was none
};

enum Status { FINISHED, STOPPED, SILENT, CHANGED, WITHDRAWN, EXTRA, REQUEST };

struct Run {
    Traffic *traffic;
    int64_t patience;     // cycles without a transfer after which to give up
    int64_t quiet;        // cycles without a transfer after which the output has ended
    int64_t limit;        // cycles after which to stop; 0: none
    int64_t waits;        // whether ready follows its pattern only while a beat is known to wait
    int64_t junk;         // seed of what is on a payload that is not valid
    uint8_t *handshakes;  // for each cycle and stream: valid in bit 0, ready in bit 1; or null
    int64_t room;         // cycles that handshakes has room for
    Memory *memory;       // or null
    int64_t status;       // results
    int64_t cycles;
    int64_t error;        // final value
    int64_t rise;         // first cycle in which error was high, 0: none
};
