using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Schedule;

/// <summary>The secrets of one epoch (RFC 9420, 8). The owner wipes them; the joiner secret and the epoch secret are wiped as soon as everything is derived.</summary>
internal sealed class EpochSecrets : IWireValue
{
    public required byte[] SenderData { get; init; }
    public required byte[] Encryption { get; init; }
    public required byte[] Exporter { get; init; }
    public required byte[] External { get; init; }
    public required byte[] ConfirmationKey { get; init; }
    public required byte[] MembershipKey { get; init; }
    public required byte[] Resumption { get; init; }
    public required byte[] Authenticator { get; init; }
    public required byte[] Init { get; init; }

    public static byte[] Joiner(CipherSuite suite, ReadOnlySpan<byte> initSecret, ReadOnlySpan<byte> commitSecret, ReadOnlySpan<byte> context)
    {
        var extracted = suite.Extract(initSecret, commitSecret);
        var joiner = suite.ExpandWithLabel(extracted, "joiner"u8, context, suite.HashLength);
        CryptographicOperations.ZeroMemory(extracted);
        return joiner;
    }

    public static byte[] Welcome(CipherSuite suite, ReadOnlySpan<byte> joiner, ReadOnlySpan<byte> pskSecret)
    {
        var intermediate = suite.Extract(joiner, pskSecret);
        var welcome = suite.DeriveSecret(intermediate, "welcome"u8);
        CryptographicOperations.ZeroMemory(intermediate);
        return welcome;
    }

    public static EpochSecrets FromJoiner(CipherSuite suite, ReadOnlySpan<byte> joiner, ReadOnlySpan<byte> pskSecret, ReadOnlySpan<byte> context)
    {
        var intermediate = suite.Extract(joiner, pskSecret);
        var epoch = suite.ExpandWithLabel(intermediate, "epoch"u8, context, suite.HashLength);
        CryptographicOperations.ZeroMemory(intermediate);
        var secrets = FromEpochSecret(suite, epoch);
        CryptographicOperations.ZeroMemory(epoch);
        return secrets;
    }

    /// <summary>The creator of a group starts from a random epoch secret (RFC 9420, 11).</summary>
    public static EpochSecrets FromEpochSecret(CipherSuite suite, byte[] epoch) => new()
    {
        SenderData = suite.DeriveSecret(epoch, "sender data"u8),
        Encryption = suite.DeriveSecret(epoch, "encryption"u8),
        Exporter = suite.DeriveSecret(epoch, "exporter"u8),
        External = suite.DeriveSecret(epoch, "external"u8),
        ConfirmationKey = suite.DeriveSecret(epoch, "confirm"u8),
        MembershipKey = suite.DeriveSecret(epoch, "membership"u8),
        Resumption = suite.DeriveSecret(epoch, "resumption"u8),
        Authenticator = suite.DeriveSecret(epoch, "authentication"u8),
        Init = suite.DeriveSecret(epoch, "init"u8),
    };

    public KeyPair ExternalKeyPair(CipherSuite suite) => suite.Kem.Derive(External);

    /// <summary>Encryption is written empty: the secret tree owns it and deletes it.</summary>
    public void Write(TlsWriter writer)
    {
        foreach (var secret in (byte[][])[SenderData, Exporter, External, ConfirmationKey, MembershipKey, Resumption, Authenticator, Init]) writer.WriteOpaque(secret);
    }

    public static EpochSecrets Read(ref TlsReader reader) => new()
    {
        Encryption = [],
        SenderData = reader.ReadBytes(),
        Exporter = reader.ReadBytes(),
        External = reader.ReadBytes(),
        ConfirmationKey = reader.ReadBytes(),
        MembershipKey = reader.ReadBytes(),
        Resumption = reader.ReadBytes(),
        Authenticator = reader.ReadBytes(),
        Init = reader.ReadBytes(),
    };

    public void Wipe()
    {
        foreach (var secret in (byte[][])[SenderData, Encryption, Exporter, External, ConfirmationKey, MembershipKey, Resumption, Authenticator, Init])
        {
            CryptographicOperations.ZeroMemory(secret);
        }
    }
}

/// <summary>psk_secret (RFC 9420, 8.4).</summary>
internal static class PskSecret
{
    public static byte[] Compute(CipherSuite suite, IReadOnlyList<(PreSharedKeyId Id, byte[] Psk)> psks)
    {
        var secret = new byte[suite.HashLength];
        for (var i = 0; i < psks.Count; i++)
        {
            var label = new TlsWriter();
            psks[i].Id.Write(label);
            label.WriteUInt16((ushort)i);
            label.WriteUInt16((ushort)psks.Count);
            var extracted = suite.Extract(new byte[suite.HashLength], psks[i].Psk);
            var input = suite.ExpandWithLabel(extracted, "derived psk"u8, label.Written, suite.HashLength);
            secret = suite.Extract(input, secret);
            CryptographicOperations.ZeroMemory(extracted);
            CryptographicOperations.ZeroMemory(input);
        }
        return secret;
    }
}

/// <summary>Transcript hashes (RFC 9420, 8.2).</summary>
internal static class TranscriptHash
{
    public static byte[] Confirmed(CipherSuite suite, ReadOnlySpan<byte> interimBefore, WireFormat format, FramedContent content, ReadOnlySpan<byte> signature)
    {
        var writer = new TlsWriter(content.SizeHint + 256);
        writer.WriteFixed(interimBefore);
        writer.WriteUInt16((ushort)format);
        content.Write(writer);
        writer.WriteOpaque(signature);
        return suite.Hash(writer.Written);
    }

    public static byte[] Interim(CipherSuite suite, ReadOnlySpan<byte> confirmed, ReadOnlySpan<byte> confirmationTag)
    {
        var writer = new TlsWriter(256);
        writer.WriteFixed(confirmed);
        writer.WriteOpaque(confirmationTag);
        return suite.Hash(writer.Written);
    }
}
