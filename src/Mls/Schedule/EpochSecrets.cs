using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Schedule;

/// <summary>The secrets of one epoch (RFC 9420, 8). The owner wipes them; the joiner secret and the epoch secret are wiped as soon as everything is
/// derived.</summary>
internal sealed class EpochSecrets : IWireValue
{
    public required SecretBytes SenderData { get; init; }
    public required SecretBytes Encryption { get; init; }
    public required SecretBytes Exporter { get; init; }
    public required SecretBytes External { get; init; }
    public required SecretBytes ConfirmationKey { get; init; }
    public required SecretBytes MembershipKey { get; init; }
    public required SecretBytes Resumption { get; init; }
    public required SecretBytes Authenticator { get; init; }
    public required SecretBytes Init { get; init; }

    public static SecretBytes Joiner(CipherSuite suite, ReadOnlySpan<byte> initSecret, ReadOnlySpan<byte> commitSecret, ReadOnlySpan<byte> context)
    {
        using var extracted = suite.Extract(initSecret, commitSecret);
        return suite.ExpandWithLabel(extracted, "joiner"u8, context, suite.HashLength);
    }

    public static SecretBytes Welcome(CipherSuite suite, ReadOnlySpan<byte> joiner, ReadOnlySpan<byte> pskSecret)
    {
        using var intermediate = suite.Extract(joiner, pskSecret);
        return suite.DeriveSecret(intermediate, "welcome"u8);
    }

    public static EpochSecrets FromJoiner(CipherSuite suite, ReadOnlySpan<byte> joiner, ReadOnlySpan<byte> pskSecret, ReadOnlySpan<byte> context)
    {
        using var intermediate = suite.Extract(joiner, pskSecret);
        using var epoch = suite.ExpandWithLabel(intermediate, "epoch"u8, context, suite.HashLength);
        return FromEpochSecret(suite, epoch);
    }

    /// <summary>The creator of a group starts from a random epoch secret (RFC 9420, 11).</summary>
    public static EpochSecrets FromEpochSecret(CipherSuite suite, ReadOnlySpan<byte> epoch) => new()
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

    /// <summary>Secrets of an epoch that is only looked at from outside: none.</summary>
    public static EpochSecrets None() => new()
    {
        SenderData = SecretBytes.Wiped(),
        Encryption = new SecretBytes(0),
        Exporter = SecretBytes.Wiped(),
        External = SecretBytes.Wiped(),
        ConfirmationKey = SecretBytes.Wiped(),
        MembershipKey = SecretBytes.Wiped(),
        Resumption = SecretBytes.Wiped(),
        Authenticator = SecretBytes.Wiped(),
        Init = SecretBytes.Wiped(),
    };

    public SecretKeyPair ExternalKeyPair(CipherSuite suite) => suite.Kem.Derive(External);

    private SecretBytes[] Stored => [SenderData, Exporter, External, ConfirmationKey, MembershipKey, Resumption, Authenticator, Init];

    /// <summary>Encryption is not written: the secret tree owns it and deletes it. A wiped secret is written empty.</summary>
    public void Write(TlsWriter writer)
    {
        foreach (var secret in Stored) writer.WriteSecret(secret);
    }

    public static EpochSecrets Read(ref TlsReader reader) => new()
    {
        Encryption = SecretBytes.Wiped(),
        SenderData = ReadStored(ref reader),
        Exporter = ReadStored(ref reader),
        External = ReadStored(ref reader),
        ConfirmationKey = ReadStored(ref reader),
        MembershipKey = ReadStored(ref reader),
        Resumption = ReadStored(ref reader),
        Authenticator = ReadStored(ref reader),
        Init = ReadStored(ref reader),
    };

    private static SecretBytes ReadStored(ref TlsReader reader)
    {
        var secret = reader.ReadSecret();
        if (secret.Length == 0) secret.Dispose();
        return secret;
    }

    /// <summary>Wipes what is not needed to read late application messages, to export and to resume.</summary>
    public void WipeHandshake()
    {
        foreach (var secret in (SecretBytes[])[Init, ConfirmationKey, MembershipKey, External]) secret.Dispose();
    }

    public void Wipe()
    {
        foreach (var secret in Stored) secret.Dispose();
        Encryption.Dispose();
    }
}

/// <summary>psk_secret (RFC 9420, 8.4).</summary>
internal static class PskSecret
{
    /// <summary>The given keys are wiped.</summary>
    public static SecretBytes Compute(CipherSuite suite, IReadOnlyList<(PreSharedKeyId Id, SecretBytes Psk)> psks)
    {
        MlsException.ThrowIf(psks.Count > MaxCount.PreSharedKeys, MlsError.BadPsk);
        var secret = new SecretBytes(suite.HashLength);
        for (var i = 0; i < psks.Count; i++)
        {
            var label = new TlsWriter();
            psks[i].Id.Write(label);
            label.WriteUInt16((ushort)i);
            label.WriteUInt16((ushort)psks.Count);
            using var extracted = suite.Extract(new byte[suite.HashLength], psks[i].Psk);
            using var input = suite.ExpandWithLabel(extracted, "derived psk"u8, label.Written, suite.HashLength);
            var next = suite.Extract(input, secret);
            secret.Dispose();
            secret = next;
            psks[i].Psk.Dispose();
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
