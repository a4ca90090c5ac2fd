using System.Diagnostics.CodeAnalysis;
using System.Text;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Npgsql;
using NpgsqlTypes;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>One filter as one SQL statement: the narrowest index decides, each list of it is read in answer order up to the limit, and the lists are
/// merged.</summary>
/// <remarks>The same plan as the embedded store's: ids; author and kind; the tag with the fewest values; author (kind by kind); kind; everything.</remarks>
[SuppressMessage("Security", "CA2100", Justification = "put together from constants, numbers and parameter names only")]
internal sealed class PostgresQuery
{
    /// <summary>Above this many lists one merge costs more than a walk of a wider list.</summary>
    private const int MaxLists = 4096;

    private const string Columns = "e.arrival, e.created_at, e.rank, e.id, e.kind";
    private readonly Filter _filter;
    private readonly ReadScope _scope;
    private readonly NpgsqlCommand _command;
    private readonly string? _limitParameter; // null when counting
    private readonly string? _mark; // null: up to the newest event that the statement sees
    private readonly StringBuilder _sql = new(512);

    private PostgresQuery(NpgsqlCommand command, Filter filter, ReadScope scope, ulong? upTo, int? limit)
    {
        (_command, _filter, _scope) = (command, filter, scope);
        _limitParameter = limit is { } most ? Add(most) : null;
        _mark = upTo is { } mark ? Add((long)Math.Min(mark, long.MaxValue)) : null;
        Write();
    }

    /// <summary>False when nothing can match, so that nobody needs to be asked. One row more than the limit is read: is there more?</summary>
    public static bool TryWrite(NpgsqlCommand command, Filter filter, ReadScope scope, ulong upTo, int limit)
    {
        limit = Math.Min(limit, filter.Limit ?? int.MaxValue);
        if (!CanMatch(filter, limit))
        {
            return false;
        }

        command.CommandText = new PostgresQuery(command, filter, scope, upTo, OneMore(limit))._sql.ToString();
        return true;
    }

    /// <summary>
    /// All filters of a subscription as one statement, each answer row with the newest arrival number of all: one statement sees the database
    /// at one moment, so what it finds is all there is up to that number. Rows come in no order of the whole, and twice if two filters find them; the last
    /// column is the place of their filter. Of each filter one row more than its limit is read.
    /// </summary>
    public static bool TryWriteAnswer(NpgsqlCommand command, Filter[] filters, ReadScope scope, int maxLimit)
    {
        var parts = new List<string>(filters.Length);
        for (var i = 0; i < filters.Length; i++)
        {
            var limit = Math.Min(maxLimit, filters[i].Limit ?? int.MaxValue);
            if (CanMatch(filters[i], limit))
            {
                parts.Add($"SELECT {Columns}, {i} AS place FROM ({new PostgresQuery(command, filters[i], scope, upTo: null, OneMore(limit))._sql}) AS e");
            }
        }

        command.CommandText = $"SELECT {Columns}, (SELECT last FROM relay.head), e.place FROM (({string.Join(") UNION ALL (", parts)})) AS e";
        return parts.Count > 0;
    }

    /// <summary>How many events match, whatever the filter's limit says.</summary>
    public static bool TryWriteCount(NpgsqlCommand command, Filter filter, ReadScope scope, ulong upTo)
    {
        if (!CanMatch(filter, int.MaxValue))
        {
            return false;
        }

        command.CommandText = $"SELECT count(*) FROM ({new PostgresQuery(command, filter, scope, upTo, limit: null)._sql}) AS found";
        return true;
    }

    private static int OneMore(int limit) => limit < int.MaxValue ? limit + 1 : limit;

    // NIP-01: limit 0 asks for live events only. A search (NIP-50) is not this room's.
    private static bool CanMatch(Filter filter, int limit) => limit > 0 && filter.Search is null;

    private void Write()
    {
        if (_filter.Ids is { } ids)
        {
            Lists($"unnest({Add(ids)}) AS i (id)", distinct: false, OneEvent);
        }
        else if (_filter.Authors is { } authors && _filter.Kinds is { } kinds && (long)authors.Length * kinds.Length <= MaxLists)
        {
            Lists($"unnest({Add(authors)}) AS a (author) CROSS JOIN unnest({Add(kinds)}) AS k (kind)", distinct: false,
                () => Events("e.author = a.author AND e.kind = k.kind", kinds: false, authors: false));
        }
        else if (_filter.Tags.Count > 0)
        {
            var (letter, values) = _filter.Tags.MinBy(tag => tag.Value.Length);
            var keys = values.Distinct().Select(value => PostgresTagKey.FromText(letter, value)).ToArray();
            Lists($"unnest({Add(keys)}) AS l (key)", distinct: keys.Length > 1, () => TaggedEvents(letter));
        }
        else if (_filter.Authors is not null)
        {
            // Jumps from kind to kind of one author, so that no index over authors alone is needed.
            Lists($$"""
                unnest({{Add(_filter.Authors)}}) AS a (author) CROSS JOIN LATERAL (
                WITH RECURSIVE step (kind) AS (
                    (SELECT s.kind FROM relay.events s WHERE s.author = a.author ORDER BY s.kind LIMIT 1)
                    UNION ALL
                    SELECT (SELECT s.kind FROM relay.events s WHERE s.author = a.author AND s.kind > step.kind ORDER BY s.kind LIMIT 1)
                    FROM step WHERE step.kind IS NOT NULL)
                SELECT step.kind FROM step WHERE step.kind IS NOT NULL) AS k
                """, distinct: false, () => Events("e.author = a.author AND e.kind = k.kind", kinds: true, authors: false));
        }
        else if (_filter.Kinds is not null)
        {
            Lists($"unnest({Add(_filter.Kinds)}) AS k (kind)", distinct: false, EventsOfKind);
        }
        else
        {
            _sql.Append($"SELECT {Columns} FROM relay.events e WHERE true");
            Conditions(kinds: false, authors: false, tagLetter: null);
            Order("e.");
        }
    }

    private void Lists(string lists, bool distinct, Action oneList)
    {
        _sql.Append(distinct ? "SELECT DISTINCT " : "SELECT ").Append(Columns).Append(" FROM ").Append(lists).Append(" CROSS JOIN LATERAL (");
        oneList();
        _sql.Append(") AS e");
        Order("e.");
    }

    private void Events(string which, bool kinds, bool authors)
    {
        _sql.Append($"SELECT {Columns} FROM relay.events e WHERE {which}");
        Conditions(kinds, authors, tagLetter: null);
        Order("e.");
    }

    // At most one, so no order: with one the planner would rather walk all events by time than sort one row.
    private void OneEvent()
    {
        _sql.Append($"SELECT {Columns} FROM relay.events e WHERE e.id = i.id");
        Conditions(kinds: true, authors: true, tagLetter: null);
        _sql.Append(" LIMIT 1");
    }

    // A range of one kind and an order that begins with it: only the index of kinds gives that, while with "=" the planner may walk all events
    // by time, and for a rare kind to the end.
    private void EventsOfKind()
    {
        _sql.Append($"SELECT {Columns} FROM relay.events e WHERE e.kind BETWEEN k.kind AND k.kind");
        Conditions(kinds: false, authors: false, tagLetter: null);
        if (_limitParameter is not null)
        {
            _sql.Append($" ORDER BY e.kind DESC, e.created_at DESC, e.rank LIMIT {_limitParameter}");
        }
    }

    private void TaggedEvents(char letter)
    {
        _sql.Append($"SELECT {Columns} FROM relay.event_tags t JOIN relay.events e ON e.arrival = t.arrival WHERE t.key = l.key");
        UpTo("t.");
        Times("t.");
        if (_filter.Kinds is { } kinds)
        {
            _sql.Append($" AND t.kind = ANY ({Add(kinds)})");
        }

        Conditions(kinds: false, authors: true, letter);
        Order("t.");
    }

    private void Conditions(bool kinds, bool authors, char? tagLetter)
    {
        UpTo("e.");
        _sql.Append($" AND (e.expires_at IS NULL OR e.expires_at > {Add(_scope.Now)})");
        Times("e.");
        if (kinds && _filter.Kinds is { } wantedKinds)
        {
            _sql.Append($" AND e.kind = ANY ({Add(wantedKinds)})");
        }

        if (authors && _filter.Authors is { } wantedAuthors)
        {
            _sql.Append($" AND e.author = ANY ({Add(wantedAuthors)})");
        }

        foreach (var (letter, values) in _filter.Tags)
        {
            if (letter != tagLetter)
            {
                var keys = Add([.. values.Distinct().Select(value => PostgresTagKey.FromText(letter, value))]);
                _sql.Append($" AND EXISTS (SELECT FROM relay.event_tags x WHERE x.arrival = e.arrival AND x.key = ANY ({keys}))");
            }
        }

        // NIP-59: a wrap is for the keys in its p tags and nobody else.
        if (!_scope.GiftWrapsOpen && (_filter.Kinds is null || Array.Exists(_filter.Kinds, KindRules.IsGiftWrap)))
        {
            var mine = Add([.. _scope.Keys.Select(key => PostgresTagKey.FromKey('p', key))]);
            _sql.Append($" AND (e.kind NOT IN ({EventKinds.GiftWrap}, {EventKinds.EphemeralGiftWrap}) OR EXISTS (SELECT FROM relay.event_tags w WHERE "
                + $"w.arrival = e.arrival AND w.key = ANY ({mine})))");
        }
    }

    private void UpTo(string table)
    {
        if (_mark is not null)
        {
            _sql.Append($" AND {table}arrival <= {_mark}");
        }
    }

    private void Times(string table)
    {
        if (_filter.Since is { } since)
        {
            _sql.Append($" AND {table}created_at >= {Add(since)}");
        }

        if (_filter.Until is { } until)
        {
            _sql.Append($" AND {table}created_at <= {Add(until)}");
        }
    }

    private void Order(string table)
    {
        if (_limitParameter is not null)
        {
            _sql.Append($" ORDER BY {table}created_at DESC, {table}rank LIMIT {_limitParameter}");
        }
    }

    private string Add(long value) => Add(new NpgsqlParameter<long> { TypedValue = value });

    private string Add(int value) => Add(new NpgsqlParameter<int> { TypedValue = value });

    private string Add(int[] values) => Add(new NpgsqlParameter<int[]> { TypedValue = [.. values.Distinct()] });

    private string Add(Bytes32[] values) => Add([.. values.Distinct().Select(value => value.Span.ToArray())]);

    private string Add(byte[][] values) =>
        Add(new NpgsqlParameter<byte[][]> { TypedValue = values, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea });

    private string Add(NpgsqlParameter parameter)
    {
        _command.Parameters.Add(parameter);
        return $"${_command.Parameters.Count}";
    }
}
