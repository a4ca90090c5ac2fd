namespace Marmot.Protocol.Push;

/// <summary>The three forms in which deployed clients write encrypted device tokens and kind 446 triggers.</summary>
public enum TokenDialect
{
    /// <summary>MIP-05 as published: 280-byte tokens. Triggers without tags, or with the <c>v</c> tag <c>mip05-v1</c>.</summary>
    Mip05Short,

    /// <summary>MIP-05 as deployed since April 2026: 1,084-byte tokens, <c>v</c> tag <c>mip05-v1</c>.</summary>
    Mip05Long,

    /// <summary>marmot-push-v1 of July 2026: 1,084-byte tokens under another salt, exactly one tag <c>["v","marmot-push-v1"]</c>.</summary>
    MarmotPushV1,
}

/// <summary>The push service a device token belongs to (MIP-05).</summary>
public enum DevicePlatform
{
    /// <summary>Apple Push Notification service; the token is raw bytes.</summary>
    Apns = 1,

    /// <summary>Firebase Cloud Messaging; the token is text.</summary>
    Fcm = 2,
}

/// <summary>The sizes of each dialect.</summary>
public static class TokenDialects
{
    /// <summary>The largest token of any dialect in bytes.</summary>
    public const int MaxTokenSize = KeySize + NonceSize + LongPlaintextSize + TagSize;

    // token = ephemeral x-only key 32 | nonce 12 | ciphertext (plaintext + tag 16); 32 + 12 + 220 + 16 = 280 and 32 + 12 + 1024 + 16 = 1084.
    internal const int KeySize = 32;
    internal const int NonceSize = 12;
    internal const int TagSize = 16;
    internal const int ShortPlaintextSize = 220;
    internal const int LongPlaintextSize = 1024;

    // platform u8 | length u16, big-endian.
    internal const int PlaintextHeaderSize = 3;

    /// <summary>Name of MIP-05 in the <c>v</c> tag.</summary>
    internal const string Mip05Version = "mip05-v1";

    /// <summary>Name of the July 2026 dialect in the <c>v</c> tag.</summary>
    internal const string MarmotPushVersion = "marmot-push-v1";

    extension(TokenDialect dialect)
    {
        /// <summary>Length of one encrypted token in bytes: 280 or 1,084.</summary>
        public int TokenSize => KeySize + NonceSize + TagSize + dialect.PlaintextSize;

        /// <summary>Length of a decrypted token with its padding in bytes: 220 or 1,024.</summary>
        public int PlaintextSize => dialect == TokenDialect.Mip05Short ? ShortPlaintextSize : LongPlaintextSize;

        /// <summary>Most tokens one trigger may carry: 32 by rule in marmot-push-v1; 100 is what MIP-05's text advises and its deployed server takes.</summary>
        public int MaxTokens => dialect == TokenDialect.MarmotPushV1 ? 32 : 100;

        /// <summary>HKDF salt; the two MIP-05 forms share theirs.</summary>
        internal ReadOnlySpan<byte> Salt => dialect == TokenDialect.MarmotPushV1 ? "marmot-push-token-v1"u8 : "mip05-v1"u8;

        /// <summary>HKDF info.</summary>
        internal ReadOnlySpan<byte> KeyLabel => dialect == TokenDialect.MarmotPushV1 ? "marmot-push-token-encryption"u8 : "mip05-token-encryption"u8;
    }
}
