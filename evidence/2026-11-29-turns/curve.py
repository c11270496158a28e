import json,glob,math,statistics,sys
base=None
d={}
for f in sorted(glob.glob(sys.argv[1]+'/blocks/*.json')):
    b=json.load(open(f)); per={}
    for t in b['trials']:
        c=n=0
        for s in t['slices']:
            c+=s['cpu_ns'].get('server',0); n+=s['outcome']['window_completed']
        per[t['stack']]=(c/n/1e3 if n else None)
    k=[x for x in per if x.endswith('burn=1loops')][0]
    for x,v in per.items():
        d.setdefault(x,[]).append(math.log(v/per[k]) if v else None)
    d.setdefault('abs',[]).append(per[k])
print('base us',statistics.mean(d.pop('abs')))
for x,v in d.items():
    v=[e for e in v if e is not None]
    if len(v)>1: print(x,len(v),'%.2f %% ± %.2f (sd %.2f)'%(100*math.expm1(statistics.mean(v)),196*statistics.stdev(v)/len(v)**.5,100*statistics.stdev(v)))
