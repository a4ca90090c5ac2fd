using Marmot.Hosting;
using Marmot.Hosting.Lifetime;
using Marmot.Relay;

if (args.Length > 0 && !args[0].StartsWith('-'))
{
    return await RelayCommands.RunAsync(args);
}

var builder = MarmotHost.CreateBuilder(args).AddRelay();
var app = builder.Build();
app.UseRouting();
app.MapRelay();
return await app.RunToEndAsync();
