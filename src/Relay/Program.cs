using Marmot.Hosting;
using Marmot.Relay;

var builder = MarmotHost.CreateBuilder(args).AddRelay();
var app = builder.Build();
app.UseRouting();
app.MapRelay();
await app.RunAsync();
