using System.Collections.Concurrent;
using System.Diagnostics;
using Marmot.Hosting.Outgoing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;

namespace Marmot.Hosting.Tests.Outgoing;

public sealed class OutgoingHttpTests
{
    private static readonly string[] TraceHeaders = ["traceparent", "tracestate", "baggage", "Correlation-Context", "Request-Id"];

    [Theory]
    [InlineData("client")]
    [InlineData("invoker")]
    [InlineData("a library's own")]
    public async Task Nothing_of_an_incoming_request_goes_out(string kind)
    {
        var seen = new ConcurrentQueue<string>();
        var origin = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        origin.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
        await using var app = origin.Build();
        app.Run(context =>
        {
            foreach (string name in context.Request.Headers.Keys)
            {
                seen.Enqueue(name);
            }

            return context.Response.WriteAsync("ok");
        });
        await app.StartAsync();

        await using (MarmotHost.CreateBuilder(["--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=", "--Log:Level=Fatal"]).Build())
        {
            using var activity = new Activity("a request");
            activity.SetParentId("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
            activity.TraceStateString = "vendor=secret";
            activity.AddBaggage("account", "alice");
            activity.Start();
            using var request = new HttpRequestMessage(HttpMethod.Get, app.Urls.First());
            using var sender = kind switch
            {
                "client" => OutgoingHttp.CreateClient(TimeSpan.FromSeconds(10)),
                "invoker" => OutgoingHttp.CreateInvoker(OutgoingHttp.CreateHandler()),
                _ => new HttpClient(), // as one that does not let us choose
            };
            using var response = await sender.SendAsync(request, CancellationToken.None);
            Assert.True(response.IsSuccessStatusCode);
        }

        Assert.Contains("Host", seen);
        Assert.Empty(seen.Intersect(TraceHeaders, StringComparer.OrdinalIgnoreCase));
    }
}
