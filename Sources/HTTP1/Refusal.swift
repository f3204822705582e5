// Why a message is refused: one closed list for heads and for chunked bodies, each with the status of the
// answer to a client and the word that stands in the log.

/// A message that is not accepted. The place where the message ends is unknown after one: the connection that
/// it came from is closed after the answer. A backend's message is answered to the client with 502 whatever
/// the case (RFC 9110, section 15.6.3).
public enum Refusal: UInt8, Error, BitwiseCopyable, CaseIterable, Sendable {
    // Octets (RFC 9112, section 2.2; RFC 9110, section 5.5).
    case bareLineFeed, bareCarriageReturn, controlOctet
    // Limits (RFC 6585, section 5; RFC 9110, section 15.5.15).
    case headTooLarge, tooManyFields, tooManyConnectionOptions, targetTooLong
    // The first line (RFC 9112, sections 2.3, 3 and 4).
    case badRequestLine, badMethod, methodNotAllowed, badTarget, badVersion, unsupportedVersion, badStatusLine
    // Field lines (RFC 9112, section 5).
    case badFieldName, spaceBeforeColon, foldedField
    // Host (RFC 9112, sections 3.2 and 3.2.2; RFC 9110, sections 4.2 and 7.2).
    case missingHost, severalHosts, badHost, hostMismatch
    // Framing (RFC 9112, sections 6.1 and 6.3).
    case badLength, severalLengths, conflictingLength, transferEncodingInOldVersion, badTransferEncoding,
        unsupportedTransferEncoding
    // A response that switches protocols unasked (RFC 9110, section 15.2.2).
    case unexpectedUpgrade
    // A chunked body (RFC 9112, section 7.1).
    case badChunkSize, chunkSizeTooLong, chunkExtensionsTooLong, badChunkEnd, badTrailer, trailersTooLong

    /// The status that a client is answered with.
    public var status: UInt16 {
        switch self {
        case .headTooLarge, .tooManyFields, .tooManyConnectionOptions: 431
        case .targetTooLong: 414
        case .methodNotAllowed: 405
        case .unsupportedVersion: 505
        case .unsupportedTransferEncoding: 501
        default: 400
        }
    }

    /// The word for the log; stable.
    public var reason: StaticString {
        switch self {
        case .bareLineFeed: "bare_lf"
        case .bareCarriageReturn: "bare_cr"
        case .controlOctet: "control_octet"
        case .headTooLarge: "head_too_large"
        case .tooManyFields: "too_many_fields"
        case .tooManyConnectionOptions: "too_many_connection_options"
        case .targetTooLong: "target_too_long"
        case .badRequestLine: "bad_request_line"
        case .badMethod: "bad_method"
        case .methodNotAllowed: "method_not_allowed"
        case .badTarget: "bad_target"
        case .badVersion: "bad_version"
        case .unsupportedVersion: "unsupported_version"
        case .badStatusLine: "bad_status_line"
        case .badFieldName: "bad_field_name"
        case .spaceBeforeColon: "space_before_colon"
        case .foldedField: "folded_field"
        case .missingHost: "missing_host"
        case .severalHosts: "several_hosts"
        case .badHost: "bad_host"
        case .hostMismatch: "host_mismatch"
        case .badLength: "bad_length"
        case .severalLengths: "several_lengths"
        case .conflictingLength: "conflicting_length"
        case .transferEncodingInOldVersion: "transfer_encoding_in_http_1_0"
        case .badTransferEncoding: "bad_transfer_encoding"
        case .unsupportedTransferEncoding: "unsupported_transfer_encoding"
        case .unexpectedUpgrade: "unexpected_upgrade"
        case .badChunkSize: "bad_chunk_size"
        case .chunkSizeTooLong: "chunk_size_too_long"
        case .chunkExtensionsTooLong: "chunk_extensions_too_long"
        case .badChunkEnd: "bad_chunk_end"
        case .badTrailer: "bad_trailer"
        case .trailersTooLong: "trailers_too_long"
        }
    }
}
