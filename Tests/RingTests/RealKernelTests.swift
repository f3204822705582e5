// Where a host forbids io_uring, every test here that runs on each kernel runs on the emulated one only. A case
// that is left out does not count anywhere; these tests do, as skipped, and stand for them.

import Ring
import Testing

extension Trait where Self == ConditionTrait {
    /// Skips a test, visibly, where the host forbids io_uring.
    static var needsRealKernel: Self {
        .enabled(
            "no io_uring here (errno \(Kernel.realRefusal ?? 0)): behaviours hold on the emulated kernel only"
        ) { Kernel.realRefusal == nil }
    }
}

@Suite struct RealKernelTests {
    @Test(.needsRealKernel) func everyBehaviourIsHeldOnTheRealKernelToo() throws {
        #expect(Kernel.usable == Kernel.allCases)
        let bench = try Bench(.real)
        #expect(bench.turn().isEmpty)
    }
}
