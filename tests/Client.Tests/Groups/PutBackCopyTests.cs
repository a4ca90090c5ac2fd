using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Client.Tests.Support;

namespace Marmot.Client.Tests.Groups;

/// <summary>An old copy of a store is put back: nothing is sent by a ratchet that may have gone on without it (docs/decisions/0022).</summary>
public sealed class PutBackCopyTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private readonly MemoryNetwork _network = new();
    private readonly ManualClock _clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
    private Member _alice = null!;
    private Member _bob = null!;
    private string _group = "";

    public async Task InitializeAsync()
    {
        _alice = await Member.StartAsync(_network, _clock);
        _bob = await Member.StartAsync(_network, _clock, folder: _folder.File("bob"));
        _group = (await _alice.Client.CreateGroupAsync("copies", "")).GroupId;
        await _alice.Client.InviteAsync(_group, [_bob.Key]);
        await _bob.Client.AcceptInvitesAsync();
        await _bob.Client.MaintainAsync();
        await _bob.Client.SendAsync(_group, "before");
    }

    public async Task DisposeAsync()
    {
        await _alice.DisposeAsync();
        await _bob.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task An_old_copy_put_back_gets_fresh_keys_and_another_key_package_before_anything_is_sent()
    {
        await PutBackAsync(async () =>
        {
            await _bob.Client.SendAsync(_group, "in the other life 1");
            await _bob.Client.SendAsync(_group, "in the other life 2");
        });
        Assert.True(_bob.State(_group).NeedsFreshKeys);
        ulong epoch = _bob.State(_group).Epoch;
        int packages = _bob.Client.ListKeyPackages().Count;
        await _bob.Client.SendAsync(_group, "back");
        Assert.Equal(epoch + 1, _bob.State(_group).Epoch);
        Assert.False(_bob.State(_group).NeedsFreshKeys);
        await _alice.Client.SyncAsync(_group);
        Assert.Equal(["back", "before", "in the other life 1", "in the other life 2"], _alice.Texts(_group).Order(StringComparer.Ordinal));
        await _bob.Client.MaintainAsync();
        Assert.Equal(packages + 1, _bob.Client.ListKeyPackages().Count);
    }

    [Fact]
    public async Task While_no_relay_takes_the_fresh_keys_nothing_is_sent()
    {
        await PutBackAsync(() => _bob.Client.SendAsync(_group, "in the other life"));
        int before = _network[Member.Relay].Events.Count;
        _bob.View.OnPublish = (_, _) => (RelayAnswer.Refused, "blocked: no", false);
        await Assert.ThrowsAsync<ClientException>(() => _bob.Client.SendAsync(_group, "too early"));
        await Assert.ThrowsAsync<ClientException>(() => _bob.Client.LeaveAsync(_group));
        Assert.Equal(before, _network[Member.Relay].Events.Count);
        _bob.View.OnPublish = null;
        await _bob.Client.SendAsync(_group, "now");
        await _alice.Client.SyncAsync(_group);
        Assert.Contains("now", _alice.Texts(_group));
        Assert.DoesNotContain("too early", _alice.Texts(_group));
    }

    [Fact]
    public async Task A_copy_that_nothing_on_the_disk_gives_away_is_noticed_by_an_own_message_on_a_relay()
    {
        // As a snapshot of the whole machine: files and identity are what they were.
        var values = _bob.Store.Scan("").ToDictionary(pair => pair.Key, pair => pair.Value.ToArray());
        await _bob.Client.SendAsync(_group, "in the other life");
        using var store = ClientStore.InMemory(values, (_, _) => { });
        await using var again = MarmotClient.Open(store, _ => _network.Connect(), _clock);
        Assert.False(again.GetState(_group).NeedsFreshKeys);
        await again.SyncAsync(_group);
        Assert.True(again.GetState(_group).NeedsFreshKeys);
        await again.SendAsync(_group, "back");
        await _alice.Client.SyncAsync(_group);
        Assert.Equal(["back", "before", "in the other life"], _alice.Texts(_group).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task After_an_ordinary_restart_nothing_is_renewed()
    {
        await _bob.RestartAsync();
        ulong epoch = _bob.State(_group).Epoch;
        await _bob.Client.SendAsync(_group, "as before");
        Assert.Equal(epoch, _bob.State(_group).Epoch);
    }

    // Copies the folder, lets the life go on, and puts the copy in the folder's place.
    private async Task PutBackAsync(Func<Task> otherLife)
    {
        string folder = _folder.File("bob"), copy = _folder.File("copy");
        await _bob.Client.DisposeAsync();
        _bob.Store.Dispose();
        Directory.CreateDirectory(copy);
        foreach (string file in Directory.EnumerateFiles(folder))
        {
            File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
        }

        await _bob.RestartAsync();
        await otherLife();
        await _bob.Client.DisposeAsync();
        _bob.Store.Dispose();
        foreach (string file in Directory.EnumerateFiles(copy))
        {
            File.Delete(Path.Combine(folder, Path.GetFileName(file)));
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        }

        await _bob.RestartAsync();
    }
}
