using Marmot.Client;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>Stories told with the library through the real relay and Blossom server.</summary>
public sealed class LibraryTests(SuiteFixture fixture) : IClassFixture<SuiteFixture>, IAsyncLifetime
{
    private readonly TemporaryFolder _folders = new();
    private readonly List<Person> _people = [];

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var person in _people)
        {
            await person.DisposeAsync();
        }

        _folders.Dispose();
    }

    [Fact]
    [Trait("Spec", "MIP-04")]
    public async Task A_file_travels_through_Blossom_and_opens_for_a_member_who_restarted_epochs_later()
    {
        var (alice, bob, group) = await TwoAsync();
        byte[] file = "not for the server"u8.ToArray();
        var sent = await alice.Client.SendFileAsync(group, file, "text/plain; charset=utf-8", "note.txt", "look");
        await bob.Client.SyncAsync(group);
        for (int i = 0; i < 7; i++)
        {
            await alice.Client.SelfUpdateAsync(group);
            await bob.Client.SyncAsync(group);
        }

        await bob.RestartAsync();
        var message = bob.Client.GetMessages(group).Single(one => one.Rumor.Id == sent.Rumor.Id);
        var (media, opened) = await bob.Client.GetFileAsync(group, message.Rumor);
        Assert.Equal(file, opened);
        Assert.Equal(("note.txt", "text/plain"), (media.Filename, media.MimeType));
    }

    [Fact]
    [Trait("Spec", "MIP-04")]
    public async Task A_file_reference_of_version_1_is_refused_and_its_message_is_shown()
    {
        var (alice, bob, group) = await TwoAsync();
        string[] old = [
            "imeta", $"url {fixture.Suite.HttpUrl}{new string('a', 64)}", "m text/plain", "filename a.txt", $"x {new string('a', 64)}",
            $"n {new string('0', 24)}", "v mip04-v1"
        ];
        await alice.Client.SendAsync(group, "an old attachment", tags: [old]);
        await bob.Client.SyncAsync(group);
        var message = bob.Client.GetMessages(group).Single(one => one.Rumor.Content == "an old attachment");
        var refusal = await Assert.ThrowsAsync<ClientException>(() => bob.Client.GetFileAsync(group, message.Rumor));
        Assert.Contains("mip04-v2", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "MIP-01")]
    public async Task A_group_picture_is_set_seen_and_taken_away()
    {
        var (alice, bob, group) = await TwoAsync();
        byte[] picture = [.. Enumerable.Range(0, 5000).Select(i => (byte)(i * 7))];
        await alice.Client.SetImageAsync(group, picture);
        await bob.Client.SyncAsync(group);
        Assert.True(bob.State(group).HasImage);
        Assert.Equal(picture, await bob.Client.GetImageAsync(group));
        await alice.Client.RemoveImageAsync(group);
        await bob.Client.SyncAsync(group);
        Assert.Null(await bob.Client.GetImageAsync(group));
    }

    [Fact]
    [Trait("Spec", "MIP-00")]
    public async Task A_key_package_for_one_use_is_used_up_and_one_of_last_resort_is_not()
    {
        var alice = await StartAsync("alice");
        var once = await StartAsync("once", lastResort: false);
        var often = await StartAsync("often");
        string first = (await alice.Client.CreateGroupAsync("first", "")).GroupId;
        string second = (await alice.Client.CreateGroupAsync("second", "")).GroupId;
        await alice.Client.InviteAsync(first, [once.Key, often.Key]);
        await alice.Client.InviteAsync(second, [once.Key, often.Key]); // the relay still shows the used one
        Assert.Equal(2, (await often.Client.AcceptInvitesAsync(TimeSpan.FromSeconds(20))).Joined.Count);
        var report = await once.Client.AcceptInvitesAsync(TimeSpan.FromSeconds(20));
        Assert.Single(report.Joined);
        Assert.Contains("key package that is not here", Assert.Single(report.Failed).Reason, StringComparison.Ordinal);
        Assert.Empty(once.Client.ListKeyPackages());

        // After maintenance a fresh one lies in the slot, and the next invitation arrives.
        await once.Client.MaintainAsync();
        Assert.False(Assert.Single(once.Client.ListKeyPackages()).IsLastResort);
        await often.Client.MaintainAsync();
        Assert.Contains(often.Client.ListKeyPackages(), package => package is { IsRetired: true, Uses: 2 });
        string third = (await alice.Client.CreateGroupAsync("third", "")).GroupId;
        await alice.Client.InviteAsync(third, [once.Key]);
        await once.JoinAsync();
        Person.AssertAgree(third, alice, once);
    }

    [Fact]
    [Trait("Spec", "MIP-00")]
    public async Task A_deleted_key_package_is_found_by_nobody()
    {
        var alice = await StartAsync("alice");
        var bob = await StartAsync("bob");
        var package = Assert.Single(bob.Client.ListKeyPackages());
        Assert.NotNull(await alice.Client.FetchKeyPackageAsync(bob.Key));
        Assert.True((await bob.Client.DeleteKeyPackageAsync(package.Reference))[0].Acked);
        Assert.Null(await alice.Client.FetchKeyPackageAsync(bob.Key));
        string group = (await alice.Client.CreateGroupAsync("g", "")).GroupId;
        await Assert.ThrowsAsync<ClientException>(() => alice.Client.InviteAsync(group, [bob.Key]));
    }

    [Fact]
    [Trait("Spec", "MIP-01")]
    public async Task A_group_moves_to_another_relay_and_everybody_follows()
    {
        using var data = new TemporaryFolder();
        await using var other = await MarmotServerProcess.StartAsync("relay", data.File("data"));
        var (alice, bob, group) = await TwoAsync();
        await alice.Client.UpdateGroupAsync(group,
            new GroupChange { Relays = [other.RelayUrl.ToString()], NostrGroupId = Bytes32.ParseHex(new string('9', 64)) });
        await alice.Client.SendAsync(group, "from the new place");
        await bob.Client.SyncAsync(group); // finds the move on the old relay, the message on the new one
        Assert.Contains("from the new place", bob.Texts(group));
        await bob.Client.SendAsync(group, "I followed");
        await alice.Client.SyncAsync(group);
        Assert.Contains("I followed", alice.Texts(group));
        Person.AssertAgree(group, alice, bob);
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task Messages_arrive_live_while_a_member_watches()
    {
        var (alice, bob, group) = await TwoAsync();
        using var ending = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        var heard = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var watching = bob.Client.WatchAsync(
            message =>
            {
                heard.TrySetResult(message.Rumor.Content);
                return Task.CompletedTask;
            },
            ending.Token);
        await alice.Client.SendAsync(group, "live");
        Assert.Equal("live", await heard.Task.WaitAsync(ending.Token));
        await ending.CancelAsync();
        await watching;
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task A_stranger_with_the_public_id_changes_nothing_and_fills_nothing()
    {
        var (alice, bob, group) = await TwoAsync();
        var before = bob.State(group);
        using var stranger = Marmot.Protocol.Keys.SecretKey.Generate();
        await using var network = new Marmot.Client.Relays.RelayNetwork(new Marmot.Client.Relays.RelayNetworkOptions(), TimeProvider.System);
        for (int i = 0; i < 50; i++)
        {
            string content = Convert.ToBase64String(System.Security.Cryptography.RandomNumberGenerator.GetBytes(100 + i));
            var garbage = NostrEvent.Create(stranger, 445, [["h", before.NostrGroupId.ToString()]], content, DateTimeOffset.UtcNow.ToUnixTimeSeconds());
            await network.PublishAsync(fixture.Suite.RelayUrl.ToString(), garbage, CancellationToken.None);
        }

        await alice.Client.SendAsync(group, "in the middle of it");
        await bob.Client.SyncAsync(group);
        Assert.Equal(before.EpochAuthenticator, bob.State(group).EpochAuthenticator);
        Assert.Contains("in the middle of it", bob.Texts(group));
    }

    private async Task<Person> StartAsync(string? name, bool lastResort = true)
    {
        var person = await Person.StartAsync(fixture.Suite, name is null ? null : _folders.File($"{name}-{_people.Count}"), lastResort);
        _people.Add(person);
        return person;
    }

    private async Task<(Person Alice, Person Bob, string Group)> TwoAsync()
    {
        var alice = await StartAsync("alice");
        var bob = await StartAsync("bob");
        string group = (await alice.Client.CreateGroupAsync("two", "")).GroupId;
        await alice.Client.InviteAsync(group, [bob.Key]);
        await bob.JoinAsync();
        return (alice, bob, group);
    }
}
