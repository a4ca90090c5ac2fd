using System.Text.Json;
using Marmot.Client.Adopted;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Client.Tests.Support;
using Marmot.Mls.Codec;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Tests.Adopted;

/// <summary>One recorded file: steps, states and accounts of a group's life, read once.</summary>
internal sealed class RecordedLife
{
    private static readonly Dictionary<string, RecordedLife> Known = [];

    private RecordedLife(string name)
    {
        File = VectorFile.ReadAdopted(name);
        Steps = [.. File.GetProperty("steps").EnumerateArray()];
        Events = [.. Steps.Select(step => step.TryGetProperty("event", out var evt) && evt.ValueKind == JsonValueKind.Object ? evt.Event() : null)];
        for (int number = 0; number < Steps.Count; number++)
        {
            if (Steps[number].TryGetProperty("inner_event", out var inner) && !IsForbidden(number))
            {
                StepOfRumor[inner.Key("id")] = number;
            }
        }

        foreach (var state in File.GetProperty("states").EnumerateObject())
        {
            LabelOf[state.Value.Key("convergence_commitment")] = state.Name;
        }
    }

    public JsonElement File { get; }

    public IReadOnlyList<JsonElement> Steps { get; }

    /// <summary>The group event of each step; null for those that have none.</summary>
    public IReadOnlyList<NostrEvent?> Events { get; }

    public Dictionary<Bytes32, int> StepOfRumor { get; } = [];

    public Dictionary<Bytes32, string> LabelOf { get; } = [];

    public IEnumerable<string> Receivers => File.GetProperty("replay_as").EnumerateArray().Select(one => one.GetString()!);

    public static RecordedLife Read(string name)
    {
        lock (Known)
        {
            return Known.TryGetValue(name, out var life) ? life : Known[name] = new RecordedLife(name);
        }
    }

    public JsonElement State(string label) => File.GetProperty("states").GetProperty(label);

    public string? Text(int number, string name) =>
        Steps[number].TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    public bool IsForbidden(int number) => Steps[number].TryGetProperty("not_allowed", out _);

    public Bytes32 AccountOf(string name) => File.GetProperty("accounts").GetProperty(name).Key("nostr_pubkey");

    public SecretKey KeyOf(string name) => Key(File.GetProperty("accounts").GetProperty(name));

    public static SecretKey Key(JsonElement account) =>
        SecretKey.TryCreate(account.Bytes("nostr_secret"), out var key) ? key : throw new InvalidDataException("not a key");

    /// <summary>The step in which a member got its Welcome.</summary>
    public int WelcomeOf(string name) => Enumerable.Range(0, Steps.Count).First(number => Text(number, "step") == "welcome" && Text(number, "to") == name);

    /// <summary>The private keys of a recorded key package.</summary>
    public static KeyPackageSecrets SecretsOf(JsonElement account)
    {
        var package = account.GetProperty("key_package");
        var writer = new TlsWriter();
        writer.WriteOpaque(package.Bytes("init_private"));
        writer.WriteOpaque(package.Bytes("leaf_private"));
        writer.WriteOpaque(account.Bytes("mls_signature_private").AsSpan(0, 32));
        return KeyPackageSecrets.TryRead([.. package.Bytes("mls_message").AsSpan(4), .. writer.ToArray()], out var secrets) ? secrets!
            : throw new InvalidDataException("not a key package");
    }

    /// <summary>Opens a recorded gift wrap and joins; null with the reason when the Welcome is refused.</summary>
    public static Marmot.Mls.Groups.Group? Join(JsonElement account, JsonElement wrap, out string refusal)
    {
        using var key = Key(account);
        using var secrets = SecretsOf(account);
        Assert.True(GiftWrap.TryOpen(wrap.Event(), key, out var rumor, out var reason), reason.ToString());
        Assert.True(AdoptedWelcome.TryRead(rumor, out var welcome, out refusal), refusal);
        return AdoptedWelcome.TryJoin(welcome, secrets, rumor.PublicKey, out var group, out refusal, out _) ? group : null;
    }

    /// <summary>Somebody who has nothing but a key package, a Welcome and the events.</summary>
    public Receiver Receive(string name) => new(this, name);
}

/// <summary>A member of a recorded group on our engine, with a clock of its own.</summary>
internal sealed class Receiver : IDisposable
{
    private readonly RecordedLife _life;
    private readonly ClientStore _store = ClientStore.InMemory();
    private readonly ManualClock _clock;
    private readonly Bytes32 _account;

    public Receiver(RecordedLife life, string name)
    {
        _life = life;
        _clock = new ManualClock(life.File.Clock());
        _account = life.AccountOf(name);
        var step = life.Steps[life.WelcomeOf(name)];
        var mls = RecordedLife.Join(life.File.GetProperty("accounts").GetProperty(name), step.GetProperty("gift_wrap"), out string refusal);
        Assert.True(mls is not null, refusal);
        var batch = new StoreBatch();
        Group = AdoptedGroup.Begin(_store, _clock, _account, mls!, _clock.GetUtcNow().ToUnixTimeSeconds(), isJoined: true, batch);
        _store.Commit(batch);
    }

    public AdoptedGroup Group { get; private set; }

    /// <summary>Steps whose message is shown.</summary>
    public SortedSet<int> Shown { get; } = [];

    /// <summary>Steps whose message was shown and is taken back.</summary>
    public SortedSet<int> Withdrawn { get; } = [];

    /// <summary>What became of the events, newest last.</summary>
    public List<GroupIncident> Incidents { get; } = [];

    public string Label => _life.LabelOf.TryGetValue(Group.TipState, out string? label) ? label : Group.IsDisbanded ? "disbanded" : "removed";

    public void Give(params IEnumerable<int> numbers) => Take(Group.Receive(numbers.Select(number => _life.Events[number]).OfType<NostrEvent>()));

    public void Give(NostrEvent evt) => Take(Group.Receive([evt]));

    public void Wait(TimeSpan time)
    {
        _clock.Advance(time);
        Take(Group.Tick());
    }

    /// <summary>Until nothing is left to do.</summary>
    public void Settle()
    {
        for (int i = 0; i < 100 && Group.Remaining is { } remaining; i++)
        {
            Wait(remaining);
        }

        Assert.Null(Group.Remaining);
    }

    /// <summary>The process ends and starts again.</summary>
    public void Restart()
    {
        Group.Dispose();
        Group = AdoptedGroup.Load(_store, _clock, _account, Group.GroupId);
    }

    public void Dispose()
    {
        Group.Dispose();
        _store.Dispose();
    }

    // What is in no step is in a case.
    private int NumberOf(GroupMessage message) => _life.StepOfRumor.TryGetValue(message.Rumor.Id, out int number) ? number : 10_000;

    private void Take(GroupReport report)
    {
        Incidents.AddRange(report.Incidents);
        foreach (var message in report.Withdrawn)
        {
            int number = NumberOf(message);
            Assert.True(Shown.Remove(number), "a message is taken back that was not shown");
            Withdrawn.Add(number);
        }

        foreach (var message in report.Messages)
        {
            int number = NumberOf(message);
            Assert.True(Shown.Add(number), "a message is shown twice");
            Withdrawn.Remove(number);
        }

        Assert.Equal(Shown, Group.Messages().Select(NumberOf).Order());
    }
}
