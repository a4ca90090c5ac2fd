using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Marmot.Client.Profiles;
using Marmot.Mls.Codec;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;

namespace Marmot.Client.KeyPackages;

/// <summary>A key package as published, kind 30443 or 443, with every check of MIP-00 passed: the ticket for an invitation.</summary>
/// <remarks>Immutable and thread-safe.</remarks>
public sealed class KeyPackageEvent
{
    private KeyPackageEvent(NostrEvent evt, KeyPackage keyPackage, MarmotProfile profile, byte[] reference)
        => (Event, KeyPackage, Profile, Reference) = (evt, keyPackage, profile, new Bytes32(reference));

    /// <summary>The event.</summary>
    public NostrEvent Event { get; }

    /// <summary>The key package inside, signatures verified.</summary>
    public KeyPackage KeyPackage { get; }

    /// <summary>The generation it belongs to.</summary>
    public MarmotProfile Profile { get; }

    /// <summary>KeyPackageRef, the <c>i</c> tag.</summary>
    public Bytes32 Reference { get; }

    /// <summary>The owner.</summary>
    public Bytes32 Owner => Event.PublicKey;

    /// <summary>True when the leaf can be in a group that requires self_remove; marmot-ts leaves cannot.</summary>
    public bool SupportsSelfRemove => KeyPackage.Leaf.Capabilities.SupportsProposal(ProposalType.SelfRemove);

    /// <summary>Checks an event by MIP-00: id and signature, tags, both MLS signatures, lifetime, credential, capabilities, reference.</summary>
    /// <param name="evt">The event as received.</param>
    /// <param name="now">The time the lifetime must cover.</param>
    /// <param name="keyPackage">The checked key package.</param>
    /// <param name="reason">Which rule it breaks.</param>
    public static bool TryRead(NostrEvent evt, DateTimeOffset now, [NotNullWhen(true)] out KeyPackageEvent? keyPackage, out string reason)
    {
        keyPackage = null;
        reason = Read(evt, now, ref keyPackage) ?? string.Empty;
        return keyPackage is not null;
    }

    /// <summary>The best of several by one owner: usable, kind 30443 first, without last_resort first, newest, smallest id.</summary>
    public static KeyPackageEvent? Select(IEnumerable<NostrEvent> events, DateTimeOffset now)
    {
        var usable = new List<KeyPackageEvent>();
        foreach (var evt in events)
        {
            if (TryRead(evt, now, out var read, out _) && read.Profile == MarmotProfile.Mip)
            {
                usable.Add(read);
            }
        }

        return usable
            .OrderByDescending(one => one.Event.Kind == ProfileDetector.KeyPackageKind)
            .ThenBy(one => one.KeyPackage.IsLastResort)
            .ThenByDescending(one => one.Event.CreatedAt)
            .ThenBy(one => one.Event.Id)
            .FirstOrDefault();
    }

    /// <summary>Makes the event of an own key package.</summary>
    /// <param name="account">The owner.</param>
    /// <param name="keyPackage">The key package.</param>
    /// <param name="slot">The <c>d</c> tag, 64 hex digits; null for kind 443.</param>
    /// <param name="relays">Where the owner's key packages are kept; at least one.</param>
    /// <param name="createdAt">Unix seconds; larger than that of the event it replaces.</param>
    public static NostrEvent Create(SecretKey account, KeyPackage keyPackage, string? slot, IReadOnlyList<string> relays, long createdAt)
    {
        List<string[]> tags = [];
        if (slot is not null)
        {
            tags.Add(["d", slot]);
        }

        // 0x000a and 0xf2ee of the leaf; values of the GREASE pattern never stand in tags.
        tags.Add(["mls_protocol_version", "1.0"]);
        tags.Add(["mls_ciphersuite", "0x0001"]);
        tags.Add(["mls_extensions", "0x000a", "0xf2ee"]);
        tags.Add(["mls_proposals", "0x000a"]);
        tags.Add(["relays", .. relays]);
        tags.Add(["i", Convert.ToHexStringLower(keyPackage.Reference())]);
        tags.Add(["client", "marmot-server"]);
        tags.Add(["encoding", "base64"]);
        return NostrEvent.Create(account, slot is null
            ? ProfileDetector.LegacyKeyPackageKind
            : ProfileDetector.KeyPackageKind, tags, Convert.ToBase64String(keyPackage.ToBytes()), createdAt);
    }

    private static string? Read(NostrEvent evt, DateTimeOffset now, ref KeyPackageEvent? result)
    {
        // 1. The event.
        var profile = ProfileDetector.OfKeyPackage(evt);
        if (profile is not (MarmotProfile.Mip or MarmotProfile.Legacy))
        {
            return profile == MarmotProfile.Adopted ? $"the key package is of {ProfileDetector.AdoptedName}" : "not a key package this client can read";
        }

        if (!evt.TryVerify(out _))
        {
            return "the event's id or signature is wrong";
        }

        // 2. The tags.
        if (CheckTags(evt) is { } fault)
        {
            return fault;
        }

        // 3. The bytes.
        byte[] bytes;
        try
        {
            bool isHex = evt.Kind == ProfileDetector.LegacyKeyPackageKind && evt.TagValue("encoding") is null or "hex"
                && !evt.Content.StartsWith("AAE", StringComparison.Ordinal);
            bytes = isHex ? Convert.FromHexString(evt.Content) : Convert.FromBase64String(evt.Content);
        }
        catch (FormatException)
        {
            return "the content is not in its encoding";
        }

        if (!KeyPackage.TryRead(bytes, out var keyPackage, out var error))
        {
            return $"the key package is malformed: {error}";
        }

        // 4. The key package itself.
        if (keyPackage!.CipherSuite != MarmotNumbers.CipherSuite)
        {
            return "the cipher suite is not 0x0001";
        }

        if (keyPackage.Verify(now) is not MlsError.None and var invalid)
        {
            return $"the key package is not valid: {invalid}";
        }

        // 5. The owner: nobody may publish another's key package as his own.
        if (!MarmotIdentity.TryRead(keyPackage.Leaf.Credential, out var identity) || identity != evt.PublicKey)
        {
            return "the credential is not the event's author";
        }

        // 6. What the leaf supports. An extension of the key package must be known to the leaf, or OpenMLS refuses the group.
        var capabilities = keyPackage.Leaf.Capabilities;
        if (!capabilities.CipherSuites.Contains(MarmotNumbers.CipherSuite) || !capabilities.SupportsCredential(CredentialType.Basic)
            || !capabilities.SupportsExtension(GroupData.ExtensionType))
        {
            return "the leaf supports no Marmot group";
        }

        if (keyPackage.Extensions.Any(extension => !capabilities.SupportsExtension(extension.Type)))
        {
            return "an extension of the key package is not among the leaf's capabilities";
        }

        // 7. The reference.
        byte[] reference = keyPackage.Reference();
        string? claimed = evt.TagValue("i");
        if (claimed is null ? evt.Kind == ProfileDetector.KeyPackageKind : !claimed.Equals(Convert.ToHexString(reference), StringComparison.OrdinalIgnoreCase))
        {
            return "the i tag is not the key package's reference";
        }

        result = new KeyPackageEvent(evt, keyPackage, profile, reference);
        return null;
    }

    private static string? CheckTags(NostrEvent evt)
    {
        bool isAddressable = evt.Kind == ProfileDetector.KeyPackageKind;
        if (isAddressable && evt.TagValue("d") is not { Length: > 0 })
        {
            return "the d tag is missing";
        }

        if (evt.TagValue("mls_protocol_version") != "1.0")
        {
            return "the protocol version is not 1.0";
        }

        if (!Names(evt, "mls_ciphersuite").SequenceEqual([MarmotNumbers.CipherSuite]))
        {
            return "the cipher suite is not 0x0001";
        }

        var extensions = Names(evt, "mls_extensions");
        if (isAddressable && !(extensions.Contains(ExtensionType.LastResort) && extensions.Contains(GroupData.ExtensionType)))
        {
            return "the extensions tag lacks 0x000a or 0xf2ee";
        }

        // marmot-ts writes no proposals tag; its leaves then lack self_remove, and the group is made accordingly. A tag that is there must be right.
        if (evt.Tags.Any(tag => tag[0] == "mls_proposals") && !Names(evt, "mls_proposals").SequenceEqual([ProposalType.SelfRemove]))
        {
            return "the proposals tag is not 0x000a";
        }

        if (isAddressable && evt.TagValue("encoding") != "base64")
        {
            return "the encoding is not base64";
        }

        string[] relays = evt.Tags.FirstOrDefault(tag => tag[0] == "relays")?[1..] ?? [];
        return relays.Length == 0 || !Array.TrueForAll(relays, RelayUrls.IsValid) ? "the relays tag names no relay" : null;
    }

    // "0x" and four hex digits in either case; anything else is no name.
    private static List<ushort> Names(NostrEvent evt, string tagName)
    {
        var names = new List<ushort>();
        foreach (string text in evt.Tags.FirstOrDefault(tag => tag[0] == tagName)?[1..] ?? [])
        {
            if (text.Length == 6 && text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
                && ushort.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ushort number))
            {
                names.Add(number);
            }
        }

        return names;
    }
}
