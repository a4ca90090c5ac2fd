using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;

namespace Marmot.Protocol.Components;

/// <summary>Where media of one locator kind may be fetched when an attachment's own locators fail.</summary>
/// <param name="Kind">One of the policy's kinds.</param>
/// <param name="BaseUrl">http or https, normalised, without query and fragment.</param>
public readonly record struct MediaEndpoint(string Kind, string BaseUrl);

/// <summary>Component 0x800b: how media are encrypted and where they lie. Immutable and thread-safe.</summary>
public sealed class MediaPolicy
{
    /// <summary>The only format; part of every key derivation.</summary>
    public const string Format = "encrypted-media-v2";

    /// <summary>The locator kind of Blossom servers.</summary>
    public const string Blossom = "blossom-v1";

    /// <summary>Most kinds and most endpoints.</summary>
    public const int MaxEntries = 16;

    private const int MaxKindSize = 64;

    private static readonly SearchValues<char> KindCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789-");

    private MediaPolicy(string[] kinds, MediaEndpoint[] endpoints) => (Kinds, Endpoints) = (kinds, endpoints);

    /// <summary>The locator kinds that may be used, in the policy's order.</summary>
    public IReadOnlyList<string> Kinds { get; }

    /// <summary>The default endpoints, in the policy's order.</summary>
    public IReadOnlyList<MediaEndpoint> Endpoints { get; }

    /// <summary>Blossom only, at these servers.</summary>
    /// <exception cref="ArgumentException">None or too many, one twice, or one that is not normalised.</exception>
    public static MediaPolicy OfBlossom(IEnumerable<string> baseUrls)
    {
        MediaEndpoint[] endpoints = [.. baseUrls.Select(url => new MediaEndpoint(Blossom, url))];
        return Fault([Blossom], endpoints) is null
            ? new MediaPolicy([Blossom], endpoints)
            : throw new ArgumentException("1 to 16 different normalised URLs", nameof(baseUrls));
    }

    /// <summary>True for a locator kind by its characters: 1 to 64 of a-z, 0-9 and the hyphen.</summary>
    public static bool IsKind(ReadOnlySpan<char> kind) => kind.Length is > 0 and <= MaxKindSize && !kind.ContainsAnyExcept(KindCharacters);

    /// <summary>Reads a body.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, [NotNullWhen(true)] out MediaPolicy? policy, out RejectReason reason)
    {
        policy = null;
        reason = RejectReason.Invalid("the media policy is malformed");
        var cursor = new VectorCursor(body);
        string format = cursor.Text(cursor.TakeVector());
        var kindList = new VectorCursor(cursor.TakeVector());
        var endpointList = new VectorCursor(cursor.TakeVector());
        if (cursor.Failed || !cursor.AtEnd)
        {
            return false;
        }

        var kinds = new List<string>();
        while (!kindList.AtEnd && !kindList.Failed && kinds.Count <= MaxEntries)
        {
            kinds.Add(kindList.Text(kindList.TakeVector()));
        }

        var endpoints = new List<MediaEndpoint>();
        while (!endpointList.AtEnd && !endpointList.Failed && endpoints.Count <= MaxEntries)
        {
            endpoints.Add(new MediaEndpoint(endpointList.Text(endpointList.TakeVector()), endpointList.Text(endpointList.TakeVector())));
        }

        if (kindList.Failed || endpointList.Failed)
        {
            return false;
        }

        string? fault = format == Format ? Fault([.. kinds], [.. endpoints]) : "the media format is not encrypted-media-v2";
        policy = fault is null ? new MediaPolicy([.. kinds], [.. endpoints]) : null;
        reason = fault is null ? default : RejectReason.Invalid(fault);
        return fault is null;
    }

    /// <summary>The body.</summary>
    public byte[] ToBytes()
    {
        var kinds = new VectorWriter();
        foreach (string kind in Kinds)
        {
            kinds.Text(kind);
        }

        var endpoints = new VectorWriter();
        foreach (var endpoint in Endpoints)
        {
            endpoints.Text(endpoint.Kind).Text(endpoint.BaseUrl);
        }

        return new VectorWriter().Text(Format).Vector(kinds.Written).Vector(endpoints.Written).ToArray();
    }

    private static string? Fault(string[] kinds, MediaEndpoint[] endpoints)
    {
        if (kinds.Length is 0 or > MaxEntries || !Array.TrueForAll(kinds, kind => IsKind(kind))
            || kinds.Distinct(StringComparer.Ordinal).Count() != kinds.Length)
        {
            return "the media policy has no kind, too many, one twice or one with other characters";
        }

        return endpoints.Length is 0 or > MaxEntries || endpoints.Distinct().Count() != endpoints.Length
            || !Array.TrueForAll(endpoints, e => kinds.Contains(e.Kind) && NormalizedUrl.IsNormalized(e.BaseUrl, allowHttp: true, allowQuery: false))
            ? "the media policy has no endpoint, too many, one twice, one of another kind or one that is not normalised"
            : null;
    }
}
