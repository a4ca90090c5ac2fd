using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Components;

/// <summary>Kind 30443 as the adopted profile writes it: exactly seven tags, whose lists equal what the leaf inside says.</summary>
/// <remarks>
/// Reads the event, not the key package: whoever has MLS at hand compares with <see cref="Agrees"/>. One event of another form by the same account makes that
/// account impossible to invite for MDK, so an account never writes two profiles under this kind. Immutable and thread-safe.
/// </remarks>
public sealed class AdoptedKeyPackageEvent
{
    /// <summary>The kind.</summary>
    public const int Kind = EventKinds.KeyPackage;

    /// <summary>Longest lifetime of a key package in seconds: 84 days and an hour.</summary>
    public const long MaxLifetimeSeconds = 7_261_200;

    private AdoptedKeyPackageEvent(NostrEvent evt, in Bytes32 slot, in Bytes32 reference, ushort[][] lists, byte[] mlsMessage)
        => (Event, Slot, Reference, Extensions, Proposals, Components, MlsMessage) = (evt, slot, reference, lists[0], lists[1], lists[2], mlsMessage);

    /// <summary>The event.</summary>
    public NostrEvent Event { get; }

    /// <summary>The <c>d</c> tag: random, kept when the key package is replaced.</summary>
    public Bytes32 Slot { get; }

    /// <summary>KeyPackageRef, the <c>i</c> tag.</summary>
    public Bytes32 Reference { get; }

    /// <summary>Extension types of the leaf's capabilities, ascending.</summary>
    public IReadOnlyList<ushort> Extensions { get; }

    /// <summary>Proposal types of the leaf's capabilities, ascending.</summary>
    public IReadOnlyList<ushort> Proposals { get; }

    /// <summary>Private components the leaf supports, ascending.</summary>
    public IReadOnlyList<ushort> Components { get; }

    /// <summary>The MLSMessage that holds the key package.</summary>
    public ReadOnlyMemory<byte> MlsMessage { get; }

    /// <summary>Makes the event.</summary>
    /// <param name="account">The owner; also the credential's identity.</param>
    /// <param name="slot">The <c>d</c> tag.</param>
    /// <param name="reference">KeyPackageRef.</param>
    /// <param name="extensions">Extension types of the leaf's capabilities, in any order.</param>
    /// <param name="proposals">Proposal types of the leaf's capabilities, in any order.</param>
    /// <param name="components">What the leaf's list of components says, in any order.</param>
    /// <param name="mlsMessage">The MLSMessage that holds the key package.</param>
    /// <param name="createdAt">Unix seconds; larger than that of the event it replaces.</param>
    public static NostrEvent Create(SecretKey account, in Bytes32 slot, in Bytes32 reference, IEnumerable<ushort> extensions, IEnumerable<ushort> proposals,
        IEnumerable<ushort> components, ReadOnlySpan<byte> mlsMessage, long createdAt)
        => NostrEvent.Create(account, Kind,
            [
                ["d", slot.ToString()],
                ["mls_protocol_version", "1.0"],
                ["i", reference.ToString()],
                ["mls_ciphersuite", "0x0001"],
                ["mls_extensions", .. Advertised(extensions).Select(Write)],
                ["mls_proposals", .. Advertised(proposals).Select(Write)],
                ["app_components", .. Private(components).Select(Write)],
            ], Convert.ToBase64String(mlsMessage), createdAt);

    /// <summary>Reads an event; its id and signature are checked too.</summary>
    public static bool TryRead(NostrEvent evt, [NotNullWhen(true)] out AdoptedKeyPackageEvent? keyPackage, out RejectReason reason)
    {
        keyPackage = null;
        string? fault = Read(evt, ref keyPackage);
        reason = fault is null ? default : RejectReason.Invalid(fault);
        return fault is null;
    }

    /// <summary>True when reference and lists are exactly those of the key package inside.</summary>
    /// <param name="reference">KeyPackageRef of the key package inside.</param>
    /// <param name="credentialIdentity">Identity of its leaf's credential.</param>
    /// <param name="extensions">Extension types of its leaf's capabilities; values of the GREASE pattern do not count.</param>
    /// <param name="proposals">Proposal types of its leaf's capabilities; likewise.</param>
    /// <param name="components">What its leaf's list of components says; those below 0x8000 do not count.</param>
    public bool Agrees(ReadOnlySpan<byte> reference, ReadOnlySpan<byte> credentialIdentity, IEnumerable<ushort> extensions, IEnumerable<ushort> proposals,
        IEnumerable<ushort> components)
        => reference.SequenceEqual(Reference.Span)
            && credentialIdentity.SequenceEqual(Event.PublicKey.Span)
            && Advertised(extensions).SequenceEqual(Extensions)
            && Advertised(proposals).SequenceEqual(Proposals)
            && Private(components).SequenceEqual(Components);

    private static string? Read(NostrEvent evt, ref AdoptedKeyPackageEvent? result)
    {
        if (evt.Kind != Kind)
        {
            return "not a key package event";
        }

        var tags = new Dictionary<string, string[]>(StringComparer.Ordinal);
        foreach (string[] tag in evt.Tags)
        {
            if (!tags.TryAdd(tag[0], tag[1..]))
            {
                return "a tag occurs twice";
            }
        }

        if (tags.Count != Names.Length || !Array.TrueForAll(Names, tags.ContainsKey))
        {
            return "not exactly the seven tags of the profile";
        }

        if (tags["mls_protocol_version"] is not ["1.0"] || tags["mls_ciphersuite"] is not ["0x0001"])
        {
            return "another MLS version or cipher suite";
        }

        if (tags["d"] is not [var d] || !Bytes32.TryParseHex(d, out var slot) || tags["i"] is not [var i] || !Bytes32.TryParseHex(i, out var reference))
        {
            return "the d or the i tag is not 64 lower-case hex digits";
        }

        var lists = new ushort[ListNames.Length][];
        for (int at = 0; at < lists.Length; at++)
        {
            if (!TryReadList(tags[ListNames[at]], out lists[at]))
            {
                return "a list of numbers is malformed or not ascending";
            }
        }

        if (lists[2].Any(component => component < ComponentType.FirstPrivate))
        {
            return "the components are not all private ones";
        }

        byte[] text = System.Text.Encoding.UTF8.GetBytes(evt.Content);
        byte[] content = new byte[Math.Max(0, StrictBase64.DecodedLength(text))];
        if (!StrictBase64.TryDecode(text, content, out int length) || !content.AsSpan(0, length).StartsWith(KeyPackageMessage))
        {
            return "the content is not base64 of an MLS key package message";
        }

        if (!evt.TryVerify(out _))
        {
            return "the event's id or signature is wrong";
        }

        result = new AdoptedKeyPackageEvent(evt, slot, reference, lists, content[..length]);
        return null;
    }

    private static readonly string[] ListNames = ["mls_extensions", "mls_proposals", "app_components"];
    private static readonly string[] Names = ["d", "mls_protocol_version", "i", "mls_ciphersuite", .. ListNames];

    // RFC 9420, 6: version mls10, wire format mls_key_package.
    private static ReadOnlySpan<byte> KeyPackageMessage => [0, 1, 0, 5];

    private static bool TryReadList(string[] items, out ushort[] values)
    {
        values = new ushort[items.Length];
        for (int i = 0; i < items.Length; i++)
        {
            if (items[i].Length != 6 || !items[i].StartsWith("0x", StringComparison.Ordinal)
                || !ushort.TryParse(items[i].AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out values[i])
                || Write(values[i]) != items[i]
                || (i > 0 && values[i - 1] >= values[i]))
            {
                return false;
            }
        }

        return true;
    }

    private static string Write(ushort value) => $"0x{value:x4}";

    private static IEnumerable<ushort> Advertised(IEnumerable<ushort> types) => types.Where(type => !IsGrease(type)).Distinct().Order();

    private static IEnumerable<ushort> Private(IEnumerable<ushort> components) =>
        components.Where(component => component >= ComponentType.FirstPrivate).Distinct().Order();

    // RFC 9420, 13.5: 0x0a0a, 0x1a1a, ... 0xeaea.
    private static bool IsGrease(ushort type) => (type & 0x0f0f) == 0x0a0a && type >> 8 == (type & 0xff) && type != 0xfafa;
}
