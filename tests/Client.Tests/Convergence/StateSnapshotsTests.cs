using Marmot.Client.Convergence;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Tests.Convergence;

public sealed class StateSnapshotsTests : IDisposable
{
    private readonly ClientStore _store = ClientStore.InMemory();

    public void Dispose() => _store.Dispose();

    [Fact]
    public void One_of_every_epoch_passed_is_kept_in_the_window_also_those_run_through_in_one_step()
    {
        var batch = new StoreBatch();
        var snapshots = Load();
        for (int epoch = 0; epoch <= 9; epoch++)
        {
            snapshots.Put(batch, Entry(0, epoch), [(byte)epoch]);
        }

        snapshots.Forget(batch, State(0, 9));
        _store.Commit(batch);
        var again = Load();
        Assert.Equal([4ul, 5ul, 6ul, 7ul, 8ul, 9ul], again.Entries.Values.Select(entry => entry.Epoch).Order());
        Assert.Equal([5], again.Get(new StoreBatch(), State(0, 5)));
        Assert.Null(again.Get(new StoreBatch(), State(0, 3)));
        Assert.DoesNotContain(_store.Scan("g/x/"), pair => pair.Key.EndsWith(State(0, 3).ToString(), StringComparison.Ordinal));
    }

    [Fact]
    public void Rivals_beyond_the_bounds_go_oldest_first_and_never_the_own_line()
    {
        var batch = new StoreBatch();
        var snapshots = Load();
        for (int epoch = 0; epoch <= 5; epoch++)
        {
            snapshots.Put(batch, Entry(0, epoch), new byte[1000]);
            for (int rival = 1; rival <= 20 && epoch > 0; rival++)
            {
                snapshots.Put(batch, Entry(rival, epoch, parent: State(0, epoch - 1)), new byte[1000]);
            }
        }

        snapshots.Forget(batch, State(0, 5));
        _store.Commit(batch);
        var kept = Load().Entries.Values.ToList();
        Assert.Equal(StateSnapshots.MaxRivals + 6, kept.Count);
        Assert.Equal(6, kept.Count(entry => entry.State.Span[0] == 0));
        Assert.Equal(20, kept.Count(entry => entry.Epoch == 5 && entry.State.Span[0] != 0));
        Assert.DoesNotContain(kept, entry => entry.Epoch < 4 && entry.State.Span[0] != 0);
    }

    [Fact]
    public void Rivals_that_are_too_large_together_go_too()
    {
        var batch = new StoreBatch();
        var snapshots = Load();
        snapshots.Put(batch, Entry(0, 0), new byte[StateSnapshots.MaxRivalBytes + 1]); // the own line has no bound
        snapshots.Put(batch, Entry(0, 1), [1]);
        for (int rival = 1; rival <= 5; rival++)
        {
            snapshots.Put(batch, Entry(rival, 1, parent: State(0, 0)), new byte[StateSnapshots.MaxRivalBytes / 4]);
        }

        snapshots.Forget(batch, State(0, 1));
        Assert.Equal(4, snapshots.Entries.Values.Count(entry => entry.State.Span[0] != 0));
        Assert.Equal(2, snapshots.Entries.Values.Count(entry => entry.State.Span[0] == 0));
    }

    [Fact]
    public void A_state_written_again_replaces_the_one_before_since_generations_were_used()
    {
        var batch = new StoreBatch();
        var snapshots = Load();
        snapshots.Put(batch, Entry(0, 0), [1]);
        snapshots.Put(batch, Entry(0, 0), [2]);
        Assert.Equal([2], snapshots.Get(batch, State(0, 0)));
        _store.Commit(batch);
        Assert.Equal([2], Load().Get(new StoreBatch(), State(0, 0)));
    }

    private StateSnapshots Load() => StateSnapshots.Load(_store, ConvergencePolicy.Adopted, "g/x/");

    private static SnapshotEntry Entry(int branch, int epoch, Bytes32? parent = null) =>
        new(State(branch, epoch), (ulong)epoch, parent ?? (epoch == 0 ? null : State(branch, epoch - 1)), epoch == 0 ? null : State(branch, epoch), 0);

    private static Bytes32 State(int branch, int epoch) => new([(byte)branch, (byte)epoch, 1, .. new byte[29]]);
}
