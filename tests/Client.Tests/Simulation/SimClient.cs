using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Tests.Simulation;

/// <summary>A client of the simulation whose process can die at any write of its store: what was flushed stays, of what was not any prefix may.</summary>
internal sealed class SimClient
{
    private readonly SimNetwork _network;
    private readonly Dictionary<string, byte[]> _flushed = new(StringComparer.Ordinal);
    private readonly List<List<(string Key, byte[]? Value)>> _unflushed = [];
    private SimNetwork.SimView _view = null!;
    private ClientStore _store = null!;
    private int _writesToLive = int.MaxValue;
    private bool _diesAfterWriting;

    public SimClient(int index, SimNetwork network, ManualClock clock)
    {
        (Index, _network, Clock) = (index, network, clock);
        Start(isNew: true);
    }

    public int Index { get; }

    public string Name => Index == 0 ? "alice" : $"m{Index}";

    public ManualClock Clock { get; }

    public MarmotClient Client { get; private set; } = null!;

    public Bytes32 Key { get; private set; }

    /// <summary>True between the write at which it died and <see cref="Restart"/>.</summary>
    public bool IsDead => _view.IsDead;

    public int Crashes { get; private set; }

    /// <summary>It will die at this many writes from now, before or after that write is on disk.</summary>
    public void DieAfter(int writes, bool afterWriting) => (_writesToLive, _diesAfterWriting) = (writes, afterWriting);

    public void Live() => _writesToLive = int.MaxValue;

    /// <summary>The process is gone, wherever it was; a new one opens what the disk has.</summary>
    /// <param name="keptWrites">Gives how many of so many unflushed writes reached the disk all the same.</param>
    public void Restart(Func<int, int> keptWrites)
    {
        _view.IsDead = true;
        Crashes++;
        Fold(keptWrites(_unflushed.Count));
        _unflushed.Clear();
        Start(isNew: false);
    }

    public GroupState? State(string group) => Client.GroupIds.Contains(group) ? Client.GetState(group) : null;

    private void Start(bool isNew)
    {
        Live();
        var view = _network.Connect(Index);
        _view = view;
        var values = _flushed.Select(pair => KeyValuePair.Create(pair.Key, (byte[])pair.Value.Clone())).ToList();
        _store = ClientStore.InMemory(values, (changes, durable) => Journal(view, changes, durable));
        Client = isNew
            ? MarmotClient.Create(_store, null, new AccountSettings { Relays = _network.Urls }, _ => view, Clock)
            : MarmotClient.Open(_store, _ => view, Clock);
        Key = Client.PublicKey;
    }

    private void Journal(SimNetwork.SimView view, IReadOnlyList<(string Key, byte[]? Value)> changes, bool durable)
    {
        ObjectDisposedException.ThrowIf(view.IsDead, view);
        bool dies = --_writesToLive < 0;
        if (!dies || _diesAfterWriting)
        {
            _unflushed.Add([.. changes.Select(change => (change.Key, (byte[]?)change.Value?.Clone()))]);
            if (durable)
            {
                Fold(_unflushed.Count);
                _unflushed.Clear();
            }
        }

        if (dies)
        {
            view.IsDead = true;
            throw new ObjectDisposedException("the process");
        }
    }

    private void Fold(int count)
    {
        foreach (var (key, value) in _unflushed.Take(count).SelectMany(batch => batch))
        {
            if (value is null)
            {
                _flushed.Remove(key);
            }
            else
            {
                _flushed[key] = value;
            }
        }
    }
}
