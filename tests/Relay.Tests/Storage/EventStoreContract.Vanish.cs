using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Tests.Storage;

// Requests to vanish (NIP-62) whose work is done beforehand.
public abstract partial class EventStoreContract
{
    [Fact]
    [Trait("Spec", "NIP-62")]
    public async Task A_vanish_request_whose_work_is_done_but_for_the_newest_removes_those_and_stands()
    {
        using var sender = SecretKey.Generate();
        using var gone = SecretKey.Generate();
        NostrEvent To(string text, long at) => NostrEvent.Create(sender, 1059, [["p", gone.PublicKey.ToString()]], text, at);
        await WriteAsync(To("removed before", Now));
        var mark = Store.HighWaterMark;
        await Store.RemoveAsync(await QueryAsync(new Filter { Kinds = [1059] }), erase: false, CancellationToken.None);
        await WriteAsync(To("meanwhile", Now + 1));
        await WriteAsync(NostrEvent.Create(gone, 1, [], "its own, meanwhile", Now + 1));
        await WriteAsync(NostrEvent.Create(sender, 1, [], "another's", Now + 1));
        await WriteAsync(To("dated later", Now + 9));
        var write = new EventWrite(Record(NostrEvent.Create(gone, 62, [["relay", "ALL_RELAYS"]], "", Now + 5), vanishesHere: true)) { RemovedUpTo = mark };
        await Store.WriteAsync([write], CancellationToken.None);

        Assert.Equal(StoreVerdict.Stored, write.Verdict);
        Assert.Equal([1, 62, 1059], (await QueryAsync(new Filter())).Select(key => key.Kind).Order());
        Assert.Equal(StoreVerdict.Vanished, await WriteAsync(To("too late", Now + 2)));
    }
}
