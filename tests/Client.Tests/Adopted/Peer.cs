using Marmot.Client.Adopted;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Client.Tests.Support;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Tests.Adopted;

/// <summary>A group of our engines without relays: whoever makes an event gets it back, and the test hands it to the others.</summary>
internal sealed class Circle : IDisposable
{
    private readonly HashSet<(Bytes32 State, int Leaf, uint Generation)> _generations = [];

    /// <summary>Makes as many accounts, the one with the smallest key first: where nothing else decides, its commits win.</summary>
    public Circle(int members, int admins = 1, AdoptedFounding? founding = null, Random? dice = null)
    {
        Clock = new ManualClock(DateTimeOffset.FromUnixTimeSeconds(1_800_000_000));
        Peers = [.. Enumerable.Range(0, members).Select(_ => SecretKey.Generate()).OrderBy(key => key.PublicKey)
            .Select(key => new Peer(this, key, TimeSpan.FromMinutes(dice?.Next(-600, 600) ?? 0)))];
        var first = Peers[0];
        first.Found(founding ?? new AdoptedFounding { Name = "circle", Relays = ["wss://relay.example"] });
        if (members > 1)
        {
            first.Change(new AdoptedChange
            {
                Add = [.. Peers.Skip(1).Select(peer => peer.Invitee)],
                Admins =
                [.. Peers.Take(admins).Select(peer => peer.Account)]
            });
        }
    }

    public ManualClock Clock { get; }

    public IReadOnlyList<Peer> Peers { get; }

    /// <summary>True when every step is followed by an end of the process.</summary>
    public bool IsRestless { get; set; }

    public int Messages => _generations.Count;

    public Peer this[int index] => Peers[index];

    /// <summary>Fails when a sender has used this generation of this state before.</summary>
    public void Count(in Bytes32 state, int leaf, uint generation) =>
        Assert.True(_generations.Add((state, leaf, generation)), $"leaf {leaf} uses generation {generation} of a state twice");

    /// <summary>Until nobody has anything to do.</summary>
    public void Settle()
    {
        for (int i = 0; i < 100 && Peers.Any(peer => peer.IsBusy); i++)
        {
            Clock.Advance(TimeSpan.FromSeconds(1));
            foreach (var peer in Peers)
            {
                peer.Tick();
            }
        }

        Assert.DoesNotContain(Peers, peer => peer.IsBusy);
    }

    /// <summary>All of these stand in one state and show the same messages.</summary>
    public void AssertAgreed(params Peer[] peers)
    {
        peers = peers.Length == 0 ? [.. Peers] : peers;
        Assert.Single(peers.Select(peer => peer.Group.TipState).Distinct());
        Assert.Single(peers.Select(peer => string.Join('\n', peer.Shown)).Distinct());
        Assert.Single(peers.Select(peer => peer.Group.Describe().EpochAuthenticator).Distinct());
    }

    public void Dispose()
    {
        foreach (var peer in Peers)
        {
            peer.Dispose();
        }
    }
}

/// <summary>One account on our engine.</summary>
internal sealed class Peer(Circle circle, SecretKey key, TimeSpan skew) : IDisposable
{
    private readonly ClientStore _store = ClientStore.InMemory();
    private readonly SkewedClock _clock = new(circle.Clock, skew);
    private readonly KeyPackageSecrets _package = AdoptedLeaf.Create(key, circle.Clock.GetUtcNow() + skew);
    private AdoptedGroup? _group;

    public Bytes32 Account { get; } = key.PublicKey;

    public SecretKey Key => key;

    public AdoptedGroup Group => _group!;

    public ClientStore Store => _store;

    public bool HasGroup => _group is not null;

    public bool IsBusy => _group?.Remaining is not null;

    public AdoptedInvitee Invitee => new(Account, _package.KeyPackage.ToBytes(), default);

    /// <summary>Everything reported so far.</summary>
    public List<GroupIncident> Incidents { get; } = [];

    /// <summary>Contents shown, in no order.</summary>
    public IEnumerable<string> Shown => Group.Messages().Select(message => message.Rumor.Content).Order(StringComparer.Ordinal);

    public void Found(AdoptedFounding founding) => Begin(AdoptedGroup.Found(key, founding, _clock.GetUtcNow()), isJoined: false);

    /// <summary>Makes a change and has it taken; its Welcomes reach whom they are for.</summary>
    public NostrEvent Change(AdoptedChange change)
    {
        var evt = Group.StageChange(change) ?? throw new InvalidOperationException("nothing to change");
        Confirm();
        return evt;
    }

    public NostrEvent Rename(string name) => Change(new AdoptedChange { Name = name });

    public NostrEvent SelfUpdate()
    {
        var evt = Group.StageSelfUpdate();
        Confirm();
        return evt;
    }

    public NostrEvent CommitLeaves()
    {
        var evt = Group.StageLeaves();
        Confirm();
        return evt;
    }

    /// <summary>A relay has taken the own commit.</summary>
    public void Confirm()
    {
        Rest();
        Group.ConfirmCommit();
        Welcome();
        Rest();
    }

    /// <summary>Hands over the Welcomes that are pending.</summary>
    public void Welcome()
    {
        foreach (var (welcome, invitees, _, relays) in Group.WelcomesOwed())
        {
            foreach (var invitee in invitees)
            {
                circle.Peers.Single(peer =>
                    peer.Account == invitee.Account).Join(AdoptedWelcome.CreateRumor(Account, invitee.EventId, relays, welcome,
                    circle.Clock.GetUtcNow().ToUnixTimeSeconds()));
            }
        }

        Group.MarkWelcomed(new StoreBatch());
    }

    public NostrEvent Say(string text, params string[][] tags)
    {
        var group = Group;
        var (state, leaf) = (group.TipState, group.Mls.OwnLeaf);
        var (evt, _) = group.CreateMessage(Rumor.Create(Account, 9, tags, text, _clock.GetUtcNow().ToUnixTimeSeconds()));
        Assert.True(Protocol.Components.AdoptedGroupEvent.TryParse(evt, out var envelope, out _));
        Assert.True(envelope.TryOpen(group.States[state].EnvelopeKey, out byte[]? bytes));
        Assert.True(MlsMessage.TryRead(bytes, out var message, out _));
        Assert.True(group.Mls.TryReadSender(message!, out var sender));
        circle.Count(state, leaf, sender.Generation);
        Rest();
        return evt;
    }

    public NostrEvent Leave()
    {
        var evt = Group.CreateLeave();
        Rest();
        return evt;
    }

    public void Hear(params IEnumerable<NostrEvent> events)
    {
        if (_group is not null)
        {
            Incidents.AddRange(Group.Receive(events).Incidents);
            Rest();
        }
    }

    /// <summary>Everything the relays have, as a sync gives it.</summary>
    public void CatchUp(IEnumerable<NostrEvent> events) => Incidents.AddRange(Group.Receive(events, isComplete: true).Incidents);

    public void Tick()
    {
        if (_group is not null)
        {
            Incidents.AddRange(Group.Tick().Incidents);
            Rest();
        }
    }

    /// <summary>The process ends and starts again.</summary>
    public void Restart()
    {
        string id = Group.GroupId;
        Group.Dispose();
        _group = AdoptedGroup.Load(_store, _clock, Account, id);
    }

    public void Join(Rumor rumor)
    {
        Assert.True(AdoptedWelcome.TryRead(rumor, out var welcome, out string fault), fault);
        Assert.True(AdoptedWelcome.TryJoin(welcome, _package, rumor.PublicKey, out var mls, out fault, out _), fault);
        Begin(mls!, isJoined: true);
    }

    public void Dispose()
    {
        _group?.Dispose();
        _store.Dispose();
        _package.Dispose();
        key.Dispose();
    }

    private void Begin(Mls.Groups.Group mls, bool isJoined)
    {
        var batch = new StoreBatch();
        _group?.Dispose();
        _group = AdoptedGroup.Begin(_store, _clock, Account, mls, _clock.GetUtcNow().ToUnixTimeSeconds(), isJoined, batch);
        _store.Commit(batch);
    }

    private void Rest()
    {
        if (circle.IsRestless)
        {
            Restart();
        }
    }
}
