using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Groups;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Groups;

/// <summary>What the MIP profile puts into an MLS group: capabilities, context extensions, exporters (MIP-00, MIP-01, MIP-03, MIP-04).</summary>
internal static class MipGroup
{
    /// <summary>84 days and an hour, as OpenMLS builds it; back-dated by more than a day, since peers refuse a start in their future and clocks are a day wrong
    /// at times.</summary>
    internal static readonly TimeSpan KeyPackageLifetime = TimeSpan.FromSeconds(7_261_200);

    private static readonly TimeSpan Backdate = TimeSpan.FromHours(26);

    internal static readonly GroupRules Rules = new() { AcceptLeaf = MarmotIdentity.Accepts };

    /// <summary>The leaf's capabilities; GREASE values keep peers honest (RFC 9420, 13.5).</summary>
    internal static Capabilities Capabilities() =>
        new([1], [MarmotNumbers.CipherSuite, Grease()], [ExtensionType.LastResort, GroupData.ExtensionType, Grease()], [ProposalType.SelfRemove, Grease()],
            [CredentialType.Basic]);

    internal static KeyPackageSecrets CreateKeyPackage(in Bytes32 account, bool lastResort, DateTimeOffset now)
    {
        var suite = CipherSuite.X25519Aes128Ed25519;
        var start = now - Backdate;
        var lifetime = new Lifetime((ulong)start.ToUnixTimeSeconds(), (ulong)(start + KeyPackageLifetime).ToUnixTimeSeconds());
        Extension[] extensions = lastResort ? [new Extension(ExtensionType.LastResort, [])] : [];
        var signature = suite.GenerateSignatureKeyPair();
        var secrets = KeyPackageSecrets.Create(suite, signature, Credential.Basic(account.Span), Capabilities(), lifetime, extensions);
        CryptographicOperations.ZeroMemory(signature.PrivateKey);
        return secrets;
    }

    /// <summary>The group context's extensions, required_capabilities carried along, since a change replaces the whole list.</summary>
    internal static Extension[] ContextExtensions(GroupData data, bool requireSelfRemove) =>
    [
        new Extension(GroupData.ExtensionType, data.ToBytes()),
        new RequiredCapabilities([GroupData.ExtensionType], requireSelfRemove ? [ProposalType.SelfRemove] : [], []).ToExtension(),
    ];

    /// <summary>The same list with another group data; every other extension stays as it is.</summary>
    internal static Extension[] WithData(IReadOnlyList<Extension> extensions, GroupData data) =>
        [.. extensions.Select(extension => extension.Type == GroupData.ExtensionType ? new Extension(GroupData.ExtensionType, data.ToBytes()) : extension)];

    /// <summary>The same list without self_remove among the required proposals: for a member who cannot do it.</summary>
    internal static Extension[] WithoutRequiredSelfRemove(IReadOnlyList<Extension> extensions) =>
        [.. extensions.Select(extension => extension.Type != ExtensionType.RequiredCapabilities ? extension : Relaxed(extension))];

    internal static bool RequiresSelfRemove(IReadOnlyList<Extension> extensions) =>
        extensions.FirstOrDefault(extension => extension.Type == ExtensionType.RequiredCapabilities) is { } required
        && Read(required).Proposals.Contains(ProposalType.SelfRemove);

    /// <summary>The group data of a context; null when it is missing or malformed.</summary>
    internal static GroupData? DataOf(IEnumerable<Extension> extensions) =>
        extensions.FirstOrDefault(extension => extension.Type == GroupData.ExtensionType) is { } extension
        && GroupData.TryRead(extension.Data, out var data, out _) ? data : null;

    /// <summary>The key of the outer envelope in an epoch (MIP-03).</summary>
    internal static byte[] EnvelopeKey(MlsGroup group, ulong epoch) => group.Export("marmot", "group-event"u8, GroupEvent.KeySize, epoch);

    /// <summary>The NIP-44 secret of the first generation's envelope.</summary>
    internal static byte[] LegacyEnvelopeKey(MlsGroup group, ulong epoch) => group.Export("nostr", "nostr"u8, 32, epoch);

    /// <summary>The media secret of an epoch (MIP-04).</summary>
    internal static byte[] MediaSecret(MlsGroup group, ulong epoch) => group.Export("marmot", "encrypted-media"u8, EncryptedMedia.SecretSize, epoch);

    private static Extension Relaxed(Extension required)
    {
        var value = Read(required);
        return (value with { Proposals = [.. value.Proposals.Where(type => type != ProposalType.SelfRemove)] }).ToExtension();
    }

    private static RequiredCapabilities Read(Extension extension)
    {
        var reader = new TlsReader(extension.Data);
        return new RequiredCapabilities(reader.ReadUInt16Vector(), reader.ReadUInt16Vector(), reader.ReadUInt16Vector());
    }

    // 0x?A?A with equal halves (RFC 9420, 13.5).
    private static ushort Grease() => (ushort)(0x0A0A + (0x1010 * RandomNumberGenerator.GetInt32(0, 15)));
}
