using System.Net;
using Marmot.Hosting.Callers;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Budgets;

/// <summary>The budgets of the relay: by address prefix for everything a connection makes it do, by group and by recipient for what is stored for
/// them.</summary>
/// <remarks>
/// One unit is about a microsecond of one core. Authors are not counted: group events and gift wraps have a new one each time. A group's
/// budget is taken after the signature is checked. It is larger than what one address may use, and when others have spent it, an address
/// that has not written there still has a part of its own (<see cref="TryTakeTarget"/>): no number of addresses can spend it for another.
/// </remarks>
internal sealed class RelayBudgets(TimeProvider clock, RelayOptions options)
{
    /// <summary>A signature check.</summary>
    public const int VerificationUnits = 50;

    /// <summary>Bytes parsed, hashed, written and indexed for one unit.</summary>
    public const int BytesPerUnit = 20;

    /// <summary>An indexed tag of a stored event: its entries in the index. Measured: 38 ms of the writer for 4,000 of them.</summary>
    public const int TagUnits = 10;

    /// <summary>Each indexed tag above <see cref="FewTags"/>. While the tags of one event are entered nobody's event is written: this
    /// keeps one address from more than a hundredth of that time.</summary>
    public const int FurtherTagUnits = 250;

    /// <summary>Indexed tags that are entered in a millisecond or two.</summary>
    public const int FewTags = 200;

    /// <summary>What a deletion request names (NIP-09): it is looked for, removed, and remembered whether it was there or not.</summary>
    public const int DeletionUnits = 20;

    /// <summary>An event that a vanish request removes (NIP-62): its bytes, and its entries in the index.</summary>
    public const int VanishUnits = 40;

    /// <summary>An event handed to a subscription: a frame of it made and written.</summary>
    public const int DeliveryUnits = 2;

    /// <summary>Taking a connection.</summary>
    public const int HandshakeUnits = 150;

    /// <summary>Breaking the protocol: closing down, and most often the next handshake.</summary>
    public const int ViolationUnits = 2000;

    /// <summary>A request by itself, whatever it finds.</summary>
    public const int RequestUnits = 50;

    /// <summary>A value in a filter: read, searched for, kept in the index of subscriptions and taken out again.</summary>
    public const int FilterValueUnits = 2;

    /// <summary>Waking up for what has come in, however little it is.</summary>
    private const int ReadUnits = 10;

    /// <summary>Any message by itself: reading it and saying no.</summary>
    private const int UnitsPerMessage = 4;

    /// <summary>What an address always has at a target, as a part of <see cref="RelayOptions.WorkPerTarget"/>: 40 events of 1 KB a second by default.</summary>
    private const int OwnPart = 100;

    private static readonly TimeSpan Burst = TimeSpan.FromSeconds(5);
    private readonly WorkBudgets _prefixes = new(clock, options.WorkPerAddress, Burst);
    private readonly WorkBudgets _targets = new(clock, options.WorkPerTarget, Burst);
    private readonly WorkBudgets _ownParts = new(clock, options.WorkPerTarget == 0 ? 0 : Math.Max(1, options.WorkPerTarget / OwnPart), Burst);
    private readonly bool _limitLoopback = options.LimitLoopback;
    private long _strangers;

    /// <summary>Whose budget a caller uses; null where the address is not counted.</summary>
    public AddressPrefix? PrefixOf(IPAddress? address) => CallerAddress.PrefixOf(address, _limitLoopback);

    /// <summary>The lane of its turns at the cores (<see cref="Turns.FairScheduler"/>): its address's, or its own where addresses do not count. Lanes that meet
    /// by chance share.</summary>
    public long LaneOf(AddressPrefix? prefix) => prefix is { } address ? (uint)address.GetHashCode() : -Interlocked.Increment(ref _strangers);

    /// <summary>What was read at once, whole messages or not.</summary>
    public static double ReadUnitsOf(long bytes) => ReadUnits + ((double)bytes / BytesPerUnit);

    /// <summary>Messages by themselves, and the bytes that came out of compressed ones.</summary>
    public static double MessageUnitsOf(int messages, long inflatedBytes) => (messages * UnitsPerMessage) + ((double)inflatedBytes / BytesPerUnit);

    /// <summary>What an event costs that is to be checked, written and indexed.</summary>
    /// <param name="evt">The event.</param>
    /// <param name="bytes">Its size, or that of its message.</param>
    public static double EventUnits(in NostrEventView evt, int bytes)
    {
        var tags = 0;
        foreach (var tag in evt.Tags)
        {
            tags += tag.HasValue && tag.Name.Length == 1 ? 1 : 0;
        }

        return EventUnits(evt.Kind, tags, bytes);
    }

    /// <inheritdoc cref="EventUnits(in NostrEventView, int)"/>
    public static double EventUnits(EventRecord record) => EventUnits(record.Kind, record.Tags.Length, record.Json.Length);

    /// <summary>What a request costs before anything is looked for.</summary>
    public static double RequestUnitsOf(Filter[] filters)
    {
        var values = 0;
        foreach (var filter in filters)
        {
            values += (filter.Ids?.Length ?? 0) + (filter.Authors?.Length ?? 0) + (filter.Kinds?.Length ?? 0);
            foreach (var (_, list) in filter.Tags)
            {
                values += list.Length;
            }
        }

        return (RequestUnits * filters.Length) + (FilterValueUnits * values);
    }

    public bool TryTake(AddressPrefix? prefix, double units)
    {
        if (prefix is not { } address)
        {
            return true;
        }

        Span<byte> key = stackalloc byte[AddressPrefix.Size];
        address.Write(key);
        return _prefixes.TryTake(key, units);
    }

    /// <summary>For work that is done. Says how long the address has to wait before it has some left again; zero when it has.</summary>
    public TimeSpan Charge(AddressPrefix? prefix, double units)
    {
        if (prefix is not { } address)
        {
            return TimeSpan.Zero;
        }

        Span<byte> key = stackalloc byte[AddressPrefix.Size];
        address.Write(key);
        return _prefixes.Charge(key, units);
    }

    /// <summary>For an <c>h</c> or <c>p</c> value, by its index key: from what all have there, else from the sender's own part.</summary>
    public bool TryTakeTarget(in TagKey target, AddressPrefix? sender, double units)
    {
        Span<byte> key = stackalloc byte[TagKey.Size + AddressPrefix.Size];
        target.Write(key);
        if (_targets.TryTake(key[..TagKey.Size], units))
        {
            return true;
        }

        if (sender is not { } address)
        {
            return false;
        }

        address.Write(key[TagKey.Size..]);
        return _ownParts.TryTake(key, units);
    }

    private static double EventUnits(int kind, int indexedTags, int bytes) =>
        VerificationUnits + ((double)bytes / BytesPerUnit) + (indexedTags * (TagUnits + (kind == EventKinds.Deletion ? DeletionUnits : 0)))
        + (Math.Max(0, indexedTags - FewTags) * (FurtherTagUnits - TagUnits));
}
