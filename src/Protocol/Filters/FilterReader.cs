using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Filters;

/// <summary>Reads one filter object (NIP-01) under limits.</summary>
/// <remarks>
/// Strict: an unknown or repeated member is refused by name of the rule, because ignoring a condition would answer with events
/// that were not asked for. The bytes must be valid JSON; <see cref="Messages.ClientMessageReader"/> checks that first.
/// </remarks>
internal static class FilterReader
{
    public static bool TryRead(ref Utf8JsonReader reader, FilterLimits limits, [NotNullWhen(true)] out Filter? filter, out RejectReason reason)
    {
        filter = null;
        if (reader.TokenType == JsonTokenType.None)
        {
            reader.Read();
        }

        if (reader.TokenType != JsonTokenType.StartObject)
        {
            return Fail("a filter is a JSON object", out reason);
        }

        Bytes32[]? ids = null, authors = null;
        int[]? kinds = null;
        Dictionary<char, string[]>? tags = null;
        long? since = null, until = null;
        int? limit = null;
        string? search = null, limitHit = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("ids"u8))
            {
                if (ids is not null || !TryReadKeys(ref reader, "ids", limits, ref limitHit, out ids))
                {
                    return Fail(limitHit ?? "ids is not one list of full lower-case hex ids", out reason);
                }
            }
            else if (reader.ValueTextEquals("authors"u8))
            {
                if (authors is not null || !TryReadKeys(ref reader, "authors", limits, ref limitHit, out authors))
                {
                    return Fail(limitHit ?? "authors is not one list of full lower-case hex keys", out reason);
                }
            }
            else if (reader.ValueTextEquals("kinds"u8))
            {
                if (kinds is not null || !TryReadKinds(ref reader, limits, ref limitHit, out kinds))
                {
                    return Fail(limitHit ?? "kinds is not one list of integers from 0 to 65535", out reason);
                }
            }
            else if (reader.ValueTextEquals("since"u8))
            {
                if (since is not null || !TryReadNumber(ref reader, long.MaxValue, out since))
                {
                    return Fail("since is not one integer of at least 0", out reason);
                }
            }
            else if (reader.ValueTextEquals("until"u8))
            {
                if (until is not null || !TryReadNumber(ref reader, long.MaxValue, out until))
                {
                    return Fail("until is not one integer of at least 0", out reason);
                }
            }
            else if (reader.ValueTextEquals("limit"u8))
            {
                if (limit is not null || !TryReadNumber(ref reader, int.MaxValue, out var number))
                {
                    return Fail("limit is not one integer of at least 0", out reason);
                }

                limit = (int)number.GetValueOrDefault();
            }
            else if (reader.ValueTextEquals("search"u8))
            {
                if (search is not null || !reader.Read() || reader.TokenType != JsonTokenType.String)
                {
                    return Fail("search is not one text", out reason);
                }

                search = reader.GetString()!;
                if (search.Length > limits.MaxSearchLength)
                {
                    return Fail($"search has more than {limits.MaxSearchLength} characters", out reason);
                }
            }
            else if (TryReadLetter(ref reader, out var letter))
            {
                tags ??= [];
                if (tags.Count == limits.MaxTagLetters)
                {
                    return Fail($"a filter has conditions on more than {limits.MaxTagLetters} tag letters", out reason);
                }

                if (tags.ContainsKey(letter) || !TryReadTagValues(ref reader, letter, limits, ref limitHit, out var values))
                {
                    return Fail(limitHit ?? "a tag condition is not one list of texts (#e and #p: full lower-case hex)", out reason);
                }

                tags.Add(letter, values);
            }
            else
            {
                return Fail("a filter has a member that NIP-01 does not know", out reason);
            }
        }

        if (reader.TokenType != JsonTokenType.EndObject)
        {
            return Fail("a filter is a JSON object", out reason);
        }

        filter = new Filter
        {
            Ids = ids,
            Authors = authors,
            Kinds = kinds,
            Tags = tags ?? Filter.NoTags,
            Since = since,
            Until = until,
            Limit = limit,
            Search = search,
        };
        reason = default;
        return true;
    }

    private static bool Fail(string text, out RejectReason reason)
    {
        reason = RejectReason.Invalid(text);
        return false;
    }

    private static string TooMany(string name, FilterLimits limits) => $"{name} has more than {limits.MaxValuesPerList} values";

    private static bool TryReadKeys(ref Utf8JsonReader reader, string name, FilterLimits limits, ref string? limitHit, [NotNullWhen(true)] out Bytes32[]? keys)
    {
        keys = null;
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartArray)
        {
            return false;
        }

        var list = new List<Bytes32>();
        while (reader.Read() && reader.TokenType == JsonTokenType.String)
        {
            if (list.Count == limits.MaxValuesPerList)
            {
                limitHit = TooMany(name, limits);
                return false;
            }

            if (reader.ValueIsEscaped || !Bytes32.TryParseHex(reader.ValueSpan, out var key))
            {
                return false;
            }

            list.Add(key);
        }

        keys = Distinct(list);
        return reader.TokenType == JsonTokenType.EndArray;
    }

    private static bool TryReadKinds(ref Utf8JsonReader reader, FilterLimits limits, ref string? limitHit, [NotNullWhen(true)] out int[]? kinds)
    {
        kinds = null;
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartArray)
        {
            return false;
        }

        var list = new List<int>();
        while (reader.Read() && reader.TokenType == JsonTokenType.Number)
        {
            if (list.Count == limits.MaxValuesPerList)
            {
                limitHit = TooMany("kinds", limits);
                return false;
            }

            if (!reader.TryGetInt32(out var kind) || kind is < 0 or > NostrEventView.MaxKind)
            {
                return false;
            }

            list.Add(kind);
        }

        kinds = Distinct(list);
        return reader.TokenType == JsonTokenType.EndArray;
    }

    private static bool TryReadNumber(ref Utf8JsonReader reader, long max, out long? number)
    {
        number = null;
        if (!reader.Read() || reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out var value) || value < 0)
        {
            return false;
        }

        number = Math.Min(value, max);
        return true;
    }

    // "#" and one ASCII letter; the reader's own comparison would need a string.
    private static bool TryReadLetter(ref Utf8JsonReader reader, out char letter)
    {
        letter = '\0';
        if (reader.ValueIsEscaped || reader.ValueSpan.Length != 2 || reader.ValueSpan[0] != (byte)'#')
        {
            return false;
        }

        letter = (char)reader.ValueSpan[1];
        return char.IsAsciiLetter(letter);
    }

    private static bool TryReadTagValues(ref Utf8JsonReader reader, char letter, FilterLimits limits, ref string? limitHit,
        [NotNullWhen(true)] out string[]? values)
    {
        values = null;
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartArray)
        {
            return false;
        }

        var list = new List<string>();
        while (reader.Read() && reader.TokenType == JsonTokenType.String)
        {
            if (list.Count == limits.MaxValuesPerList)
            {
                limitHit = TooMany($"#{letter}", limits);
                return false;
            }

            var value = reader.GetString()!;
            if (value.Length > limits.MaxTagValueLength)
            {
                limitHit = $"a value of #{letter} has more than {limits.MaxTagValueLength} characters";
                return false;
            }

            if (letter is 'e' or 'p' && !Bytes32.TryParseHex(value, out _))
            {
                return false;
            }

            list.Add(value);
        }

        values = Distinct(list);
        return reader.TokenType == JsonTokenType.EndArray;
    }

    // A value written twice asks for nothing more, but would cost its memory and its search again.
    private static T[] Distinct<T>(List<T> list) => list.Count > 1 ? [.. list.Distinct()] : [.. list];
}
