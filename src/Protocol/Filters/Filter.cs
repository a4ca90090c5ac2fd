using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Filters;

/// <summary>What a subscription asks for (NIP-01): all conditions must hold, each list matches any of its values.</summary>
/// <remarks>Immutable and thread-safe. An empty list matches nothing. Values are exact: no prefixes.</remarks>
public sealed class Filter
{
    internal static readonly IReadOnlyDictionary<char, string[]> NoTags = new Dictionary<char, string[]>();

    private FilterMatcher? _matcher;

    /// <summary>Event ids; null when any will do.</summary>
    public Bytes32[]? Ids { get; init; }

    /// <summary>Authors; null when any will do.</summary>
    public Bytes32[]? Authors { get; init; }

    /// <summary>Kinds; null when any will do.</summary>
    public int[]? Kinds { get; init; }

    /// <summary>Wanted first values by tag letter (a-z, A-Z), without the <c>#</c>; never null.</summary>
    public IReadOnlyDictionary<char, string[]> Tags { get; init; } = NoTags;

    /// <summary>Smallest <c>created_at</c>, itself included.</summary>
    public long? Since { get; init; }

    /// <summary>Largest <c>created_at</c>, itself included.</summary>
    public long? Until { get; init; }

    /// <summary>Most stored events wanted; 0 asks for live events only; does not bound live ones.</summary>
    public int? Limit { get; init; }

    /// <summary>Search text (NIP-50); <see cref="Matches"/> ignores it.</summary>
    public string? Search { get; init; }

    /// <summary>Reads a filter under the default limits.</summary>
    /// <exception cref="JsonException">The bytes are not JSON; <see cref="Messages.ClientMessageReader"/> checks that before it comes here.</exception>
    public static bool TryRead(ref Utf8JsonReader reader, [NotNullWhen(true)] out Filter? filter, out RejectReason reason) =>
        FilterReader.TryRead(ref reader, FilterLimits.Default, out filter, out reason);

    /// <summary>Reads a filter; the reader stands before or on its opening brace and is left on the closing one.</summary>
    /// <exception cref="JsonException">The bytes are not JSON; <see cref="Messages.ClientMessageReader"/> checks that before it comes here.</exception>
    public static bool TryRead(ref Utf8JsonReader reader, FilterLimits limits, [NotNullWhen(true)] out Filter? filter, out RejectReason reason) =>
        FilterReader.TryRead(ref reader, limits, out filter, out reason);

    /// <summary>The same conditions with another limit.</summary>
    public Filter WithLimit(int? limit) => new()
    {
        Ids = Ids,
        Authors = Authors,
        Kinds = Kinds,
        Tags = Tags,
        Since = Since,
        Until = Until,
        Limit = limit,
        Search = Search,
    };

    /// <summary>True when the event meets every condition; allocation-free after the first call.</summary>
    public bool Matches(in NostrEventView evt) => (_matcher ??= new FilterMatcher(this)).Matches(evt);

    /// <summary>True when an event of these fields meets every condition but those on tags; allocation-free after the first call.</summary>
    public bool MatchesFields(in Bytes32 id, in Bytes32 publicKey, long createdAt, int kind) =>
        (_matcher ??= new FilterMatcher(this)).MatchesFields(id, publicKey, createdAt, kind);

    /// <summary>The filter as UTF-8 JSON.</summary>
    public byte[] ToJson()
    {
        var output = new ArrayBufferWriter<byte>();
        WriteTo(output);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>Writes what <see cref="ToJson"/> returns.</summary>
    public void WriteTo(IBufferWriter<byte> output) => FilterWriter.Write(output, this);
}
