// The calls of a PrismToken-style service that eudora makes. Written by this project from the names of the public interface (operations,
// structures, errors); the numbers of the fields and the types of some are this project's own choice. It is not the maker's file: with a
// device of the maker, use his file, to be had from him, in its place (`security_module.prism.idl_file`). Only names count for the client.

exception ApiException {
  1: string eCode,          // "ESts.VkExpired"
  2: string eMsg
}

struct SessionOptions {
  1: string version
}

struct MeterConfigIn {
  1: string drn,            // the meter's number, 11 or 13 digits
  2: i16 ea,                // encryption algorithm
  3: i16 tct,               // token carrier type
  4: i32 sgc,
  5: i16 krn,
  6: i16 ti,
  7: optional string newConfig,
  8: optional bool allowKrnUpdate,
  9: optional i16 ken,
  10: optional i64 doe,
  11: optional bool allow3Kct,
  12: optional bool allowKenUpdate
}

struct MeterConfigAmendment {
  1: i32 toSgc,
  2: i16 toKrn,
  3: i16 toTi
}

struct Token {
  1: string drn,
  2: string pan,
  3: i16 ea,
  4: i16 tct,
  5: i32 sgc,
  6: i16 krn,
  7: i16 ti,
  8: i16 tokenClass,
  9: i16 subclass,
  10: i32 tid,
  11: double transferAmount,
  12: bool isReservedTid,
  13: string description,
  14: string stsUnitName,
  15: string tokenDec,
  16: string tokenHex,
  17: string idSm,
  18: string vkKcv
}

struct VerifyResult {
  1: string validationResult,   // "EVerify.Ok", "EVerify.Crc", "EVerify.DdtkCredit", "EVerify.KeyExpired"
  2: optional Token token
}

service TokenApi {
  string ping(1: i32 sleepMs, 2: string echo) throws (1: ApiException ex),
  string signInWithPassword(1: string messageId, 2: string realm, 3: string username, 4: string password, 5: SessionOptions sessionOpts)
    throws (1: ApiException ex),
  list<Token> issueCreditToken(1: string messageId, 2: string accessToken, 3: MeterConfigIn meterConfig, 4: i16 subclass,
    5: double transferAmount, 6: i64 tokenTime, 7: i64 flags) throws (1: ApiException ex),
  list<Token> issueKeyChangeTokens(1: string messageId, 2: string accessToken, 3: MeterConfigIn meterConfig, 4: MeterConfigAmendment newConfig)
    throws (1: ApiException ex),
  VerifyResult verifyToken(1: string messageId, 2: string accessToken, 3: MeterConfigIn meterConfig, 4: string tokenDec)
    throws (1: ApiException ex),
  list<Token> fetchTokenResult(1: string messageId, 2: string accessToken, 3: string reqMessageId) throws (1: ApiException ex)
}
