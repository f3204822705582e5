// A token brings back what it was made of, and nothing of an earlier owner.

import Ring
import Testing

@Suite struct TokenTests {
    @Test func aTokenBringsBackWhatItWasMadeOf() {
        let token = Token(operation: 0xA5, generation: 0xFF12_3456, slot: 0xFFFF_FFFE)
        #expect(token.operation == 0xA5)
        #expect(token.slot == 0xFFFF_FFFE)
        #expect(token.matches(generation: 0xFF12_3456))
        #expect(Token(bits: token.bits) == token)
    }

    @Test func aTokenOfAnEarlierOwnerDoesNotMatch() {
        let token = Token(operation: 1, generation: 7, slot: 0)
        #expect(!token.matches(generation: 8))
    }
}
