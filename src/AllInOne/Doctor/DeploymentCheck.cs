using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text.Json;
using Marmot.Client;
using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Media;
using Marmot.Client.Profiles;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Hosting.Outgoing;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.AllInOne.Doctor;

/// <summary>The steps of <c>doctor</c> in their order; a step that needs a failed one is skipped.</summary>
internal sealed class DeploymentCheck : IAsyncDisposable
{
    private const int VanishKind = EventKinds.Vanish;
    private const int InboxRelaysKind = EventKinds.InboxRelays;

    private static readonly TimeSpan StepTimeout = TimeSpan.FromSeconds(30);

    private readonly DoctorOptions _options;
    private readonly TimeProvider _time;
    private readonly Identity _alice;
    private readonly Identity _bob;
    private readonly Identity _carol; // the adopted profile: an account never speaks both
    private readonly Identity _dave;
    private readonly BlossomClient _blossom;
    private readonly List<Bytes32> _keyPackages = [];
    private HashSet<int> _nips = [];
    private string _group = "";

    public DeploymentCheck(DoctorOptions options, TimeProvider time)
    {
        (_options, _time) = (options, time);
        (_alice, _bob) = (new Identity(options.Relay, time, MarmotProfile.Mip), new Identity(options.Relay, time, MarmotProfile.Mip));
        (_carol, _dave) = (new Identity(options.Relay, time, MarmotProfile.Adopted), new Identity(options.Relay, time, MarmotProfile.Adopted));
        _blossom = new BlossomClient(time);
    }

    private string Relay => _options.Relay.AbsoluteUri;

    public async IAsyncEnumerable<DoctorStep> RunAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        bool inOrder = true;
        foreach (var (name, needsAll, step) in Steps())
        {
            var result = needsAll && !inOrder
                ? new DoctorStep(name, DoctorOutcome.Skipped, TimeSpan.Zero, "a step before it failed")
                : await TryAsync(name, step, cancellationToken);
            inOrder &= result.Outcome != DoctorOutcome.Failed;
            yield return result;
        }

        yield return _options.Blossom is { } blossom
            ? await TryAsync("an encrypted blob is stored, fetched and deleted", token => BlobAsync(blossom, token), cancellationToken)
            : new DoctorStep("an encrypted blob is stored, fetched and deleted", DoctorOutcome.Skipped, TimeSpan.Zero, "no --blossom");
        yield return _options.Notify is { } notify
            ? await TryAsync("a padding-only push trigger is accepted", token => TriggerAsync(notify, token), cancellationToken)
            : new DoctorStep("a padding-only push trigger is accepted", DoctorOutcome.Skipped, TimeSpan.Zero, "no --notify");
        yield return await TryAsync("what was left behind is deleted", CleanUpAsync, CancellationToken.None);
    }

    public async ValueTask DisposeAsync()
    {
        await _alice.DisposeAsync();
        await _bob.DisposeAsync();
        await _carol.DisposeAsync();
        await _dave.DisposeAsync();
        _blossom.Dispose();
    }

    private (string Name, bool NeedsAll, Func<CancellationToken, Task<string>> Step)[] Steps() =>
    [
        ("the relay says what it is (NIP-11)", false, InformationAsync),
        ("it authenticates and keeps gift wraps from others (NIP-42)", false, AuthenticateAsync),
        ("key packages and relay lists are published", true, PublishAsync),
        ("a group is made and a member invited by a gift-wrapped Welcome", true, InviteAsync),
        ("the member joins", true, JoinAsync),
        ("messages go both ways", true, TalkAsync),
        ("keys are renewed by both", true, RenewAsync),
        ("a removed member reads nothing more", true, RemoveAsync),
        ("a group of the adopted profile is founded, talks, renews keys and is ended", true, AdoptedAsync),
    ];

    private async Task<DoctorStep> TryAsync(string name, Func<CancellationToken, Task<string>> step, CancellationToken cancellationToken)
    {
        long start = _time.GetTimestamp();
        using var deadline = new CancellationTokenSource(StepTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            string detail = await step(either.Token);
            return new DoctorStep(name, DoctorOutcome.Passed, _time.GetElapsedTime(start), detail);
        }
        catch (Exception exception) when (exception is DoctorFinding or ClientException or HttpRequestException or JsonException or OperationCanceledException)
        {
            string reason = exception is OperationCanceledException
                ? cancellationToken.IsCancellationRequested ? "interrupted" : "no answer within 30 s"
                : exception.Message;
            return new DoctorStep(name, DoctorOutcome.Failed, _time.GetElapsedTime(start), reason);
        }
    }

    private async Task<string> InformationAsync(CancellationToken cancellationToken)
    {
        using var http = OutgoingHttp.CreateClient(TimeSpan.FromSeconds(100));
        using var request = new HttpRequestMessage(HttpMethod.Get,
            new UriBuilder(_options.Relay) { Scheme = _options.Relay.Scheme == "wss" ? "https" : "http" }.Uri);
        request.Headers.TryAddWithoutValidation("Accept", "application/nostr+json");
        using var response = await http.SendAsync(request, cancellationToken);
        response.EnsureSuccessStatusCode();
        using var document = JsonDocument.Parse(await response.Content.ReadAsStringAsync(cancellationToken));
        var root = document.RootElement;
        if (root.ValueKind != JsonValueKind.Object)
        {
            throw new DoctorFinding("the answer is not a relay information document");
        }

        _nips = root.TryGetProperty("supported_nips", out var nips) && nips.ValueKind == JsonValueKind.Array
            ? [.. nips.EnumerateArray().Where(nip => nip.ValueKind == JsonValueKind.Number).Select(nip => nip.GetInt32())]
            : [];
        string name = root.TryGetProperty("name", out var given) && given.ValueKind == JsonValueKind.String ? given.GetString()! : "no name";
        return $"{name}, NIPs {string.Join(' ', _nips.Order())}";
    }

    private async Task<string> AuthenticateAsync(CancellationToken cancellationToken)
    {
        var own = await _alice.Network.FetchAsync(Relay, WrapsOf(_alice.Client.PublicKey), asAccount: true, cancellationToken);
        if (!own.Complete)
        {
            // The mistake seen most: asked under a name that is not the relay's own, whose signatures it then refuses.
            throw new DoctorFinding(RejectPrefixes.Of(own.Message) == RejectPrefix.AuthRequired
                ? $"it does not take the authentication; is {Relay} the URL that its Public:Origin names? It says: {own.Message}"
                : own.Message);
        }

        var foreign = await _alice.Network.FetchAsync(Relay, WrapsOf(_bob.Client.PublicKey), asAccount: true, cancellationToken);
        return foreign.Complete ? "gift wraps are readable by anybody here" : "gift wraps go to their recipient only";
    }

    private async Task<string> PublishAsync(CancellationToken cancellationToken)
    {
        foreach (var identity in new[] { _alice, _bob })
        {
            foreach (var published in await identity.Client.PublishRelayListsAsync(cancellationToken))
            {
                Require(published.Acked, $"kind {published.Kind}: {published.Reasons}");
            }

            _keyPackages.Add((await identity.Client.PublishKeyPackageAsync(cancellationToken: cancellationToken)).Event.Id);
        }

        return "";
    }

    private async Task<string> InviteAsync(CancellationToken cancellationToken)
    {
        _group = (await _alice.Client.CreateGroupAsync("doctor", "made by marmot-server doctor", cancellationToken: cancellationToken)).GroupId;
        foreach (var published in await _alice.Client.InviteAsync(_group, [_bob.Client.PublicKey], cancellationToken))
        {
            Require(published.Acked, $"kind {published.Kind}: {published.Reasons}");
        }

        return "";
    }

    private async Task<string> JoinAsync(CancellationToken cancellationToken)
    {
        var report = await _bob.Client.AcceptInvitesAsync(TimeSpan.FromSeconds(20), cancellationToken);
        Require(report.Joined.Count == 1, report.Failed.Count > 0 ? report.Failed[0].Reason : "no Welcome arrived");
        Agree();
        return "";
    }

    private async Task<string> TalkAsync(CancellationToken cancellationToken)
    {
        await SayAsync(_group, _alice, _bob, cancellationToken);
        await SayAsync(_group, _bob, _alice, cancellationToken);
        return "";
    }

    private async Task<string> RenewAsync(CancellationToken cancellationToken)
    {
        foreach (var (one, other) in new[] { (_bob, _alice), (_alice, _bob) })
        {
            await one.Client.SelfUpdateAsync(_group, cancellationToken);
            await other.Client.SyncAsync(_group, one.Client.GetState(_group).Epoch, TimeSpan.FromSeconds(10), cancellationToken: cancellationToken);
            Agree();
        }

        await TalkAsync(cancellationToken);
        return $"epoch {_alice.Client.GetState(_group).Epoch}";
    }

    private async Task<string> RemoveAsync(CancellationToken cancellationToken)
    {
        await _alice.Client.RemoveAsync(_group, _bob.Client.PublicKey, cancellationToken);
        var sent = await _alice.Client.SendAsync(_group, "after the removal", cancellationToken: cancellationToken);
        await _bob.Client.SyncAsync(_group, cancellationToken: cancellationToken);
        Require(!_bob.Client.GetState(_group).IsActive, "the removed member did not learn of it");

        // He holds the event in his hands and cannot read it.
        var seen = await _bob.Client.FetchGroupEventsAsync(_group, cancellationToken);
        Require(seen.Any(evt => evt.Id == sent.Published.EventId), "the relay does not show the group's last message");
        Require(!_bob.Client.GetMessages(_group).Any(message => message.Rumor.Id == sent.Rumor.Id), "the removed member reads on");
        return "";
    }

    // The same life in the profile of today's White Noise: founding, a Welcome, messages, a commit of the member's, the end for everybody.
    private async Task<string> AdoptedAsync(CancellationToken cancellationToken)
    {
        foreach (var identity in new[] { _carol, _dave })
        {
            foreach (var published in await identity.Client.PublishRelayListsAsync(cancellationToken))
            {
                Require(published.Acked, $"kind {published.Kind}: {published.Reasons}");
            }

            _keyPackages.Add((await identity.Client.PublishKeyPackageAsync(cancellationToken: cancellationToken)).Event.Id);
        }

        string group = (await _carol.Client.CreateGroupAsync("doctor", "made by marmot-server doctor", cancellationToken: cancellationToken)).GroupId;
        await _carol.Client.InviteAsync(group, [_dave.Client.PublicKey], cancellationToken);
        var report = await _dave.Client.AcceptInvitesAsync(TimeSpan.FromSeconds(20), cancellationToken);
        Require(report.Joined.Count == 1, report.Failed.Count > 0 ? report.Failed[0].Reason : "no Welcome arrived");
        await SayAsync(group, _carol, _dave, cancellationToken);
        await SayAsync(group, _dave, _carol, cancellationToken);
        await _dave.Client.SelfUpdateAsync(group, cancellationToken);
        await _carol.Client.SyncAsync(group, cancellationToken: cancellationToken);
        GroupState one = _carol.Client.GetState(group), other = _dave.Client.GetState(group);
        Require(one.ConvergenceCommitment is not null && one.ConvergenceCommitment == other.ConvergenceCommitment, "the two do not stand in the same state");
        await SayAsync(group, _carol, _dave, cancellationToken);
        await _carol.Client.DisbandAsync(group, cancellationToken);
        await _dave.Client.SyncAsync(group, cancellationToken: cancellationToken);
        Require(!_dave.Client.GetState(group).IsActive, "the member did not learn that the group was ended");
        return $"epoch {other.Epoch}";
    }

    private async Task<string> BlobAsync(Uri server, CancellationToken cancellationToken)
    {
        byte[] secret = RandomNumberGenerator.GetBytes(EncryptedMedia.SecretSize);
        byte[] file = RandomNumberGenerator.GetBytes(10_000);
        using var uploader = SecretKey.Generate();
        var media = EncryptedMedia.Encrypt(secret, file, "application/octet-stream", "doctor.bin", hash => hash.ToString(), out byte[] blob);
        var blobHash = new Bytes32(SHA256.HashData(blob));
        await _blossom.UploadAsync(server, blob, uploader, cancellationToken);
        byte[] fetched = await _blossom.DownloadAsync(new Uri(server, $"/{blobHash}"), blobHash, cancellationToken);
        Require(EncryptedMedia.TryDecrypt(secret, media, fetched, out byte[]? opened)
            && opened.AsSpan().SequenceEqual(file), "what came back does not decrypt to what was stored");
        Require(await _blossom.DeleteAsync(server, blobHash, uploader, cancellationToken), "the server did not find the blob to delete it");
        return $"{blob.Length} bytes";
    }

    private async Task<string> TriggerAsync(Bytes32 notify, CancellationToken cancellationToken)
    {
        // marmot-push-v1: random blocks look like tokens to all but the push server, which drops them.
        var lists = await _alice.Network.FetchAsync(Relay, new Filter { Authors = [notify], Kinds = [InboxRelaysKind] }, asAccount: false, cancellationToken);
        var relays = RelayUrls.Distinct(lists.Events.SelectMany(list => list.Tags.Where(tag => tag is ["relay", _, ..]).Select(tag => tag[1])));
        var targets = relays.Count > 0 ? relays : [Relay];
        using var author = SecretKey.Generate();
        byte[] padding = RandomNumberGenerator.GetBytes(3 * TokenDialect.MarmotPushV1.TokenSize);
        var rumor = Trigger.CreateRumor(author.PublicKey, TokenDialect.MarmotPushV1, padding, _time.GetUtcNow().ToUnixTimeSeconds());
        var wrap = GiftWrap.Create(rumor, author, notify, _time);
        var replies = await Task.WhenAll(targets.Select(relay => _alice.Network.PublishAsync(relay, wrap, cancellationToken)));
        Require(replies.Any(reply => reply.Answer == RelayAnswer.Accepted), string.Join("; ", replies.Select(reply => $"{reply.Relay}: {reply.Message}")));
        return relays.Count > 0 ? "by the relay its list names" : "by this relay; the server has published no list of inbox relays here";
    }

    private async Task<string> CleanUpAsync(CancellationToken cancellationToken)
    {
        bool vanishes = _nips.Contains(VanishKind);
        foreach (var identity in new[] { _alice, _bob, _carol, _dave })
        {
            foreach (var package in identity.Client.ListKeyPackages())
            {
                await identity.Client.DeleteKeyPackageAsync(package.Reference, cancellationToken);
            }

            if (vanishes)
            {
                // ALL_RELAYS for those that were not told their own URL; these identities exist nowhere else.
                var vanish = NostrEvent.Create(identity.Key, VanishKind, [["relay", Relay], ["relay", "ALL_RELAYS"]], "", _time.GetUtcNow()
                    .ToUnixTimeSeconds());
                var reply = await identity.Network.PublishAsync(Relay, vanish, cancellationToken);
                Require(reply.Answer == RelayAnswer.Accepted, $"NIP-62: {reply.Message}");
            }
        }

        if (_keyPackages.Count > 0)
        {
            var left = await _alice.Network.FetchAsync(Relay, new Filter { Ids = [.. _keyPackages] }, asAccount: false, cancellationToken);
            Require(left.Complete && left.Events.Count == 0, "the relay still shows a deleted key package");
        }

        return vanishes
            ? "group events under one-time keys stay until the relay's retention takes them"
            : "the relay knows no NIP-62: relay lists, wraps and group events stay";
    }

    private static async Task SayAsync(string group, Identity from, Identity to, CancellationToken cancellationToken)
    {
        var sent = await from.Client.SendAsync(group, $"is anybody there? {Guid.NewGuid():N}", cancellationToken: cancellationToken);
        Require(sent.Published.Acked, sent.Published.Reasons);
        await to.Client.SyncAsync(group, cancellationToken: cancellationToken);
        Require(to.Client.GetMessages(group).Any(message => message.Rumor.Id == sent.Rumor.Id), "the message did not arrive");
    }

    private void Agree()
    {
        GroupState one = _alice.Client.GetState(_group), other = _bob.Client.GetState(_group);
        Require(one.EpochAuthenticator == other.EpochAuthenticator && one.TreeHash == other.TreeHash, "the two do not agree on the group's state");
    }

    private static Filter WrapsOf(Bytes32 key) => new() { Kinds = [GiftWrap.Kind], Tags = new Dictionary<char, string[]> { ['p'] = [key.ToString()] } };

    private static void Require(bool condition, string finding)
    {
        if (!condition)
        {
            throw new DoctorFinding(finding);
        }
    }

    /// <summary>A throw-away account with a store that ends with the process.</summary>
    private sealed class Identity : IAsyncDisposable
    {
        private readonly ClientStore _store = ClientStore.InMemory();

        public Identity(Uri relay, TimeProvider time, MarmotProfile profile)
        {
            Key = SecretKey.Generate();
            Network = new RelayNetwork(new RelayNetworkOptions { Account = Key }, time);
            Client = MarmotClient.Create(_store, Key, new AccountSettings { Relays = [relay.AbsoluteUri], Profile = profile }, _ => Network, time);
        }

        public SecretKey Key { get; }

        public RelayNetwork Network { get; }

        public MarmotClient Client { get; }

        public async ValueTask DisposeAsync()
        {
            await Client.DisposeAsync();
            _store.Dispose();
            Key.Dispose();
        }
    }
}
