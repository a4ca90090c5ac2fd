using System.Text;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;

namespace Marmot.Client.Groups;

/// <summary>Events of a group that could not be used yet: of a later epoch, of another branch, or garbage. Bounded in number and in time. One caller at a time,
/// as its session.</summary>
internal sealed class ParkedEvents
{
    /// <summary>Undecryptable events are tried again for this long; MDK reads as far back.</summary>
    private static readonly TimeSpan KeepFor = TimeSpan.FromDays(45);

    /// <summary>Most events that wait; a flood of garbage under the group's public id must not fill the disk.</summary>
    private const int MaxEvents = 5000;

    private readonly string _prefix;
    private readonly Dictionary<Bytes32, ParkedEvent> _events = [];

    /// <summary>Of a group that has none.</summary>
    public ParkedEvents(string groupId) => _prefix = $"{GroupSession.PrefixOf(groupId)}park/";

    /// <summary>What the store has of a group.</summary>
    public static ParkedEvents Load(ClientStore store, string groupId)
    {
        var parked = new ParkedEvents(groupId);
        foreach (var (key, value) in store.Scan(parked._prefix))
        {
            parked._events[Bytes32.ParseHex(key[parked._prefix.Length..])] = StoreJson.Read<ParkedEvent>(value);
        }

        return parked;
    }

    public IEnumerable<Bytes32> Ids => _events.Keys;

    /// <summary>How many are dated later than this, Unix seconds.</summary>
    public int CountAfter(long createdAt) => _events.Values.Count(parked => parked.CreatedAt > createdAt);

    /// <summary>All of them, to be tried again.</summary>
    public List<Candidate> Candidates() => Candidates(_events.Keys);

    /// <summary>Some of them.</summary>
    public List<Candidate> Candidates(IEnumerable<Bytes32> ids)
    {
        var work = new List<Candidate>();
        foreach (var parked in ids.Select(id => _events.GetValueOrDefault(id)).OfType<ParkedEvent>())
        {
            if (NostrEvent.TryParse(Encoding.UTF8.GetBytes(parked.EventJson), out var evt, out _) && GroupEvent.TryParse(evt, out var envelope, out _))
            {
                work.Add(new Candidate(evt, envelope) { IsParked = true });
            }
        }

        return work;
    }

    /// <summary>Keeps an event for later; false when there is no room.</summary>
    public bool TryAdd(StoreBatch batch, NostrEvent evt, long now, ulong epoch)
    {
        if (_events.Count >= MaxEvents)
        {
            return false;
        }

        var parked = new ParkedEvent(Encoding.UTF8.GetString(evt.Json.Span), evt.CreatedAt, now, epoch);
        _events[evt.Id] = parked;
        batch.PutJson(Key(evt.Id), parked);
        return true;
    }

    public void Remove(StoreBatch batch, in Bytes32 id)
    {
        if (_events.Remove(id))
        {
            batch.Delete(Key(id));
        }
    }

    /// <summary>Drops what has waited too long, or while too many epochs went by; the ids.</summary>
    public IReadOnlyList<Bytes32> Expire(StoreBatch batch, long now, ulong epoch)
    {
        List<Bytes32> expired = [
            .. _events.Where(pair => pair.Value.ParkedAt < now - (long)KeepFor.TotalSeconds || pair.Value.ParkedInEpoch + CommitRace.Epochs < epoch)
                .Select(pair => pair.Key)
        ];
        foreach (var id in expired)
        {
            Remove(batch, id);
        }

        return expired;
    }

    private string Key(in Bytes32 id) => _prefix + id;
}
