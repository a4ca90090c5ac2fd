namespace Marmot.Interop;

/// <summary>npm clients that nobody here wrote do their work against the running suite; each story is told in its script.</summary>
public sealed class ClientTests(SuiteFixture fixture) : IClassFixture<SuiteFixture>
{
    [Fact]
    [Trait("Spec", "NIP-01")]
    public Task Nostr_tools_publishes_queries_subscribes_live_and_deletes() => NodeClient.RunAsync("nostr-tools.mjs", fixture.Suite);

    [Fact]
    [Trait("Spec", "RFC 7692")]
    public Task Ws_reads_and_writes_compressed_messages() => NodeClient.RunAsync("ws-deflate.mjs", fixture.Suite);

    [Fact]
    [Trait("Spec", "NIP-42")]
    public Task Rust_nostr_publishes_queries_subscribes_and_reads_its_own_gift_wraps_after_auth() => NodeClient.RunAsync("rust-nostr.mjs", fixture.Suite);

    [Fact]
    [Trait("Spec", "NIP-42")]
    public Task Applesauce_publishes_requests_subscribes_and_reads_its_own_gift_wraps_after_auth() => NodeClient.RunAsync("applesauce.mjs", fixture.Suite);

    [Theory]
    [InlineData("nostr-tools automaticallyAuth")]
    [InlineData("nostr-tools onauth")]
    [InlineData("applesauce-relay")]
    [InlineData("ndk signIn")]
    [Trait("Spec", "NIP-42")]
    public Task A_client_library_reads_stored_and_live_gift_wraps_by_its_own_way_of_authenticating(string client) =>
        NodeClient.RunAsync("auth-inbox.mjs", fixture.Suite, ("CLIENT", client));

    [Fact]
    [Trait("Spec", "NIP-77")]
    public Task Nostr_tools_reconciles_thousands_of_events_both_ways_and_applesauce_a_round_of_them() => NodeClient.RunAsync("negentropy.mjs", fixture.Suite);

    [Fact]
    [Trait("Spec", "BUD-02")]
    public Task Blossom_client_sdk_uploads_lists_mirrors_fetches_and_deletes() => NodeClient.RunAsync("blossom.mjs", fixture.Suite);

    [Fact]
    [Trait("Spec", "BUD-02")]
    public Task A_client_on_nostr_tools_uploads_lists_mirrors_fetches_and_deletes_and_rust_nostr_signs_tokens() =>
        NodeClient.RunAsync("blossom-nostr-tools.mjs", fixture.Suite);

    [Fact]
    [Trait("Spec", "MIP-00")]
    public Task Events_of_marmot_clients_are_stored_and_found_by_h_p_author_and_kind() =>
        NodeClient.RunAsync("marmot-events.mjs", fixture.Suite, ("VECTORS", Path.Combine(AppContext.BaseDirectory, "Vectors")));
}
